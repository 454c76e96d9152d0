"""Parts of bench/ingest.py that run in processes of their own."""
