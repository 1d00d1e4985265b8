"""Raw rows → a prepared Parquet folder."""
