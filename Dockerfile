# syntax=docker/dockerfile:1

# Other images may stand in for these two; packaging/check puts some of its own there. Tags can be moved: for a build that
# cannot change, give digests you have verified, as in `--build-arg BASE=gcr.io/distroless/cc-debian12@sha256:...`. They are
# not written here, because they could not be looked up where this file was.
ARG BUILDER=rust:1.95-slim-bookworm
ARG BASE=gcr.io/distroless/cc-debian12

# The builder and the runtime come from the same Debian release, so that both have the same C library. The slim image
# has the C compiler that the bundled SQLite needs.
FROM ${BUILDER} AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked \
    && install -D target/release/blooio-exporter /out/usr/local/bin/blooio-exporter \
    && install -d -m 0700 /out/data

# Distroless: C library, libgcc and nothing else, in particular no shell and no package manager to look after. The
# certificates to check Blooio's with are compiled in, so the image needs none.
FROM ${BASE}
COPY --from=build /out/usr/local/bin/blooio-exporter /usr/local/bin/blooio-exporter
# A new volume takes its owner and mode from this directory.
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
WORKDIR /data
VOLUME /data
ENV BLOOIO_EXPORTER_STATE=/data/blooio-exporter.db
EXPOSE 12566
HEALTHCHECK --interval=30s --timeout=5s --start-period=2m --retries=3 \
    CMD ["/usr/local/bin/blooio-exporter", "healthcheck"]
# Arguments replace the CMD: give --web.listen-address again next to other flags, or put those into a configuration file.
ENTRYPOINT ["/usr/local/bin/blooio-exporter"]
CMD ["--web.listen-address", "0.0.0.0:12566"]
