"""The PostgreSQL edge: the only place that knows asyncpg."""
