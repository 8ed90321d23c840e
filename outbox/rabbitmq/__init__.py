"""The RabbitMQ edge: the only place that knows aio-pika."""
