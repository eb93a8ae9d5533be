# Both services: `docker build --target cart-service .` and `docker build --target order-service .`
#
# The first image has the Rust version of rust-toolchain.toml. The first and the last are both Debian 13, so that the
# libraries that a program was linked with (OpenSSL, zlib) are those that it finds.

# --- Dependencies: a layer that stays until a manifest or Cargo.lock changes ------------------------------------------
FROM rust:1.95.0-slim-trixie AS dependencies

# For librdkafka, which is built from C here, and for OpenSSL's and zlib's headers.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libssl-dev make pkg-config zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY crates/order-events/Cargo.toml crates/order-events/
COPY crates/service-runtime/Cargo.toml crates/service-runtime/
COPY crates/cart-service/Cargo.toml crates/cart-service/
COPY crates/order-service/Cargo.toml crates/order-service/
# Not built here, but Cargo looks at every member of the workspace.
COPY stack/Cargo.toml stack/
COPY tests/Cargo.toml tests/

# With an empty library in each crate, Cargo builds the dependencies and nothing else. It is the same command as below,
# so that they are built with the same features.
RUN for crate in crates/* stack tests; do mkdir "$crate/src" && touch "$crate/src/lib.rs"; done \
    && cargo build --release --locked -p cart-service -p order-service

# --- Programs ---------------------------------------------------------------------------------------------------------
FROM dependencies AS programs

COPY schemas schemas
COPY crates crates
# Cargo goes by time stamps, and the sources may be older than the empty libraries that they replace.
RUN find crates -name '*.rs' -exec touch {} + \
    && cargo build --release --locked -p cart-service -p order-service

# --- What both images have --------------------------------------------------------------------------------------------
# No shell, no package manager; libc, OpenSSL, zlib, CA certificates. It has no tag with a version.
FROM gcr.io/distroless/cc-debian13:nonroot AS runtime

# Where OpenSSL finds the CA certificates, for brokers and registries with TLS.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
# As a number, so that an orchestrator can see that it is not root.
USER 65532:65532
STOPSIGNAL SIGTERM
LABEL org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"

# --- cart-service -----------------------------------------------------------------------------------------------------
FROM runtime AS cart-service

LABEL org.opencontainers.image.title="cart-service" \
      org.opencontainers.image.description="Takes orders over HTTP and publishes them as Kafka events."
COPY --from=programs /src/target/release/cart-service /usr/local/bin/
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/usr/local/bin/cart-service", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/cart-service"]

# --- order-service ----------------------------------------------------------------------------------------------------
FROM runtime AS order-service

LABEL org.opencontainers.image.title="order-service" \
      org.opencontainers.image.description="Consumes order events from Kafka and serves the orders over HTTP."
COPY --from=programs /src/target/release/order-service /usr/local/bin/
EXPOSE 8001
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/usr/local/bin/order-service", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/order-service"]
