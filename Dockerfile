# The image of Portolan: built from the lock file alone, run by a user without rights.
FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package portolan-server

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="portolan" \
      org.opencontainers.image.description="A live map of which service calls which" \
      org.opencontainers.image.licenses="Apache-2.0"
# A number, so that a cluster that refuses root can see that it is not.
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin portolan \
    && install --directory --owner=10001 --group=10001 /var/lib/portolan
COPY --from=build /src/target/release/portolan /usr/local/bin/portolan
COPY --from=build /src/LICENSE /usr/share/doc/portolan/LICENSE
USER 10001
WORKDIR /var/lib/portolan
VOLUME /var/lib/portolan
# Inside a container, loopback reaches nobody. What of this is published is the container's matter.
ENV PORTOLAN__LISTEN__GRPC=0.0.0.0:7474 \
    PORTOLAN__LISTEN__HTTP=0.0.0.0:7475 \
    PORTOLAN__STORE__PATH=/var/lib/portolan/store \
    PORTOLAN__LOG__FORMAT=json
EXPOSE 7474 7475
# SIGTERM drains the line and commits.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["portolan", "healthcheck"]
ENTRYPOINT ["portolan"]
CMD ["serve"]
