# The worker as an image: docker build -t cdc-merge . && docker run --rm cdc-merge --help

FROM python:3.13-slim AS build
WORKDIR /src
# For the native program, which the wheel then has: the image needs no compiler.
# DL3008 asks for a version, which Debian changes with each of its releases; any that it has will do.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends cargo && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml README.md LICENSE requirements-dev.lock hatch_build.py ./
COPY migrations migrations
COPY native native
COPY cdc_merge cdc_merge
RUN python -m pip wheel --no-cache-dir --constraint requirements-dev.lock --wheel-dir /wheels ".[all]"

FROM python:3.13-slim
# Installed from the wheels of the stage before, with no index; the mount leaves no layer behind.
# https://docs.docker.com/reference/dockerfile/#run---mounttypebind
# DL3013 asks for a version: the only one there is, is the wheel just built.
# hadolint ignore=DL3013
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    python -m pip install --no-cache-dir --no-index --find-links /wheels "cdc-merge[all]" \
    && python -c "from cdc_merge import native; raise SystemExit(not native.is_there())" \
    && useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin cdc-merge
# A number, so that Kubernetes can prove runAsNonRoot:
# https://kubernetes.io/docs/tasks/configure-pod-container/security-context/
USER 10001:10001
WORKDIR /etc/cdc-merge
ENV CDC_MERGE_CONFIG=/etc/cdc-merge/cdc-merge.yaml \
    PYTHONUNBUFFERED=1
# On SIGTERM the worker finishes or rolls back its transaction and exits within 10 seconds; allow it 15.
STOPSIGNAL SIGTERM
EXPOSE 9090
ENTRYPOINT ["cdc-merge"]
CMD ["run", "--listen", ":9090", "--log-format", "json"]
