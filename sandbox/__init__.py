"""A private PostgreSQL and RabbitMQ for demo, tests and benchmarks. Never used by the sidecar itself."""
