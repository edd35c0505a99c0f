"""Kizami (刻み): Japanese text analysed once, for everyone."""
