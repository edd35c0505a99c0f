"""Analysis: texts to tokens, exactly as MeCab with UniDic gives them."""
