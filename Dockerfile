# One image for every role: docker run backyard api | worker | flower. compose.yaml runs them all together with Redis.
# To serve your own yard: FROM backyard, COPY shop.py ., and the command "api shop:app" or "worker shop:app".

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/backyard
WORKDIR /source
# The libraries of the demo are most of the image: docker build --build-arg EXTRAS= . leaves them out.
ARG EXTRAS=[demo]
COPY pyproject.toml constraints.txt ./
# First what Backyard needs, with an empty package in its place: a change of its own code does not fetch all of that again.
RUN mkdir -p src/backyard && touch src/backyard/__init__.py README.md LICENSE \
    && /opt/backyard/bin/pip install ".${EXTRAS}" -c constraints.txt
COPY README.md LICENSE ./
COPY src src
RUN /opt/backyard/bin/pip wheel . --no-deps --wheel-dir /wheels \
    && /opt/backyard/bin/pip install --no-deps --force-reinstall /wheels/*.whl

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --home-dir /var/lib/backyard backyard \
    && install --directory --owner backyard --group backyard /var/lib/backyard
COPY --from=build /opt/backyard /opt/backyard
ENV PATH=/opt/backyard/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    BACKYARD_DATA_DIR=/var/lib/backyard
WORKDIR /app
# The number of the user above: Kubernetes can see that it is not root.
USER 10001
EXPOSE 8000 5555
# How a role is asked whether it lives differs, so compose.yaml says it: over HTTP for api and flower; a worker with
# BACKYARD_ALIVE_FILE set answers to "backyard alive" (docker run --health-cmd "backyard alive", or an exec probe).
ENTRYPOINT ["backyard"]
CMD ["--help"]
