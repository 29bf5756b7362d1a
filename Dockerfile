# Build stage: resolves nothing, installs the pins, and is left behind with its tools.
FROM python:3.11-slim AS build
WORKDIR /src
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
RUN python -m venv /opt/venv && python -m pip install --no-cache-dir uv
COPY requirements.txt ./
RUN uv pip install --python /opt/venv/bin/python --no-cache -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY imaging imaging
COPY tabular tabular
COPY fusion fusion
COPY fhir_adapters fhir_adapters
COPY cds cds
RUN uv pip install --python /opt/venv/bin/python --no-cache --no-deps .

FROM python:3.11-slim
# A number of its own for user and group: both are named as numbers where rights are given to volumes.
RUN useradd --create-home --user-group --uid 10001 --shell /usr/sbin/nologin cds
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FRACTURE_CDS_ALLOWED_HOSTS='["localhost", "127.0.0.1"]'
USER 10001:10001
WORKDIR /home/cds
# Made here, so that a volume put upon it belongs to this user.
RUN mkdir -p /home/cds/.local/share /home/cds/.local/state
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
# It listens on every address, so it starts only with a credential: FRACTURE_CDS_ACCESS_TOKEN_FILE, OIDC, or a key in the
# store. Publish the port on the loopback address (-p 127.0.0.1:8000:8000), or put TLS in front. compose.yaml shows it whole.
CMD ["cds", "serve", "--host", "0.0.0.0", "--port", "8000"]
