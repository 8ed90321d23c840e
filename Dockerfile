# Two stages: tools that build the wheels stay in the first.
FROM python:3.13-slim AS build
WORKDIR /build
COPY pyproject.toml README.md ./
COPY outbox outbox
COPY adapters adapters
COPY sql sql
RUN pip wheel --no-cache-dir --wheel-dir /wheels .

FROM python:3.13-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels outbox-sidecar \
    && pip uninstall --yes pip \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin outbox
# By number: Kubernetes can then see that it is not root.
USER 10001:10001
# Writes nothing to the image's file system, so that it can be mounted read-only. Health is asked by Kubernetes.
HEALTHCHECK NONE
ENTRYPOINT ["outbox"]
CMD ["run"]
