# LoraCode as an image: `docker build -t loracode .` has the bot and its GPU worker, `--target bot` the bot alone,
# without torch. Both run as a user of their own and hold neither compilers nor caches.

# Any image with Python 3.11 or newer and its venv module: Debian's own does as well.
ARG BASE_IMAGE=python:3.12-slim-bookworm

# ---- the requirements, in a virtual environment without pip. All that comes from the package index is checked against
# requirements.hashes, what installs and builds it too; torch alone is not, as each index has a build of its own.
FROM ${BASE_IMAGE} AS requirements
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /app
# No code yet, so that a changed line of it installs nothing anew; the environment finds the code by the .pth file.
COPY pyproject.toml requirements.hashes requirements.lock README.md LICENSE ./
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/loracode \
    && grep '^pip==' requirements.hashes > /tmp/pip \
    && /opt/pip/bin/python -m pip install --require-hashes --requirement /tmp/pip \
    && /opt/pip/bin/python -m pip wheel --no-deps --build-constraint requirements.hashes --wheel-dir /opt/wheel .
ENV PIP_PYTHON=/opt/loracode/bin/python
# Of the faces' models 100 MB are for other libraries. With `ray` it is an image for a cluster (docs/scale.md).
ARG EXTRAS=faces,safety
RUN wheel="$(echo /opt/wheel/loracode-*.whl)" && sum="$(sha256sum "$wheel")" \
    && echo "loracode[${EXTRAS}] @ file://$wheel --hash=sha256:${sum%% *}" > /tmp/loracode \
    && /opt/pip/bin/python -m pip install --require-hashes --constraint requirements.hashes \
    --build-constraint requirements.hashes --requirement /tmp/loracode \
    && site="$(/opt/loracode/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
    && echo /app > "$site/loracode.pth" \
    && rm "$site"/face_recognition_models/models/shape_predictor_68_* "$site"/face_recognition_models/models/mmod_*

FROM requirements AS requirements-with-worker
# The builds for CUDA 12.6 run on GTX 900 to RTX 40, an RTX 50 needs …/whl/cu130 (gpu_worker/device/torch_index.py says
# which card needs which); …/whl/cpu is small and needs no card.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cu126
RUN printf '%s\n' filelock fsspec jinja2 networkx setuptools sympy typing-extensions > /tmp/of-torch \
    && /opt/pip/bin/python -m pip install --require-hashes --constraint requirements.hashes --requirement /tmp/of-torch \
    && /opt/pip/bin/python -m pip install --constraint requirements.lock \
    ${TORCH_INDEX:+--extra-index-url "${TORCH_INDEX}"} torch \
    && sed --in-place 's/^loracode[^ ]*/loracode[worker]/' /tmp/loracode \
    && /opt/pip/bin/python -m pip install --require-hashes --constraint requirements.hashes --requirement /tmp/loracode

# ---- the code, compiled once: its user may not write there
FROM ${BASE_IMAGE} AS code
WORKDIR /app
COPY . .
RUN python3 -m compileall -q .

# ---- what both targets are
FROM ${BASE_IMAGE} AS runtime
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin loracode \
    && install --directory --owner loracode --group loracode --mode 0700 /data /models /backups /cluster
# LORACODE_IMAGE: what is installed here is changed by building anew. The last two are how NVIDIA's container toolkit is asked for a card.
ENV PATH=/opt/loracode/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    DATA_DIR=/data \
    BACKUP_DIR=/backups \
    HF_HOME=/models \
    LORACODE_IMAGE=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /app
VOLUME ["/data", "/models", "/backups"]
# A first start downloads the base model; the bot is well meanwhile.
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s --retries=3 CMD ["loracode", "status", "--health"]
ENTRYPOINT ["loracode"]
CMD ["run"]

FROM runtime AS bot
COPY --from=requirements /opt/loracode /opt/loracode
COPY --from=code /app /app
USER 10001:10001

FROM runtime AS all
COPY --from=requirements-with-worker /opt/loracode /opt/loracode
COPY --from=code /app /app
USER 10001:10001
