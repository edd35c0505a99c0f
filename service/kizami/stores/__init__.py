"""Object stores: S3 and a local folder behind one interface."""
