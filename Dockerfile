# Two images from scratch, each one static binary and nothing else.
#   docker build --target init-sync -t spark-injector/init-sync:0.1.0 .
#   docker build --target spark-injector -t spark-injector/spark-injector:0.1.0 .
FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
# Targets and flags are those of the Makefile.
RUN gnu=$(rustc -vV | sed -n 's/^host: //p') && musl="${gnu%-gnu}-musl" \
 && rustup target add "$musl" \
 && export RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs" \
 && cargo build --locked --release --target "$gnu" -p spark-injector \
 && cargo build --locked --release --target "$musl" -p init-sync \
 && install -D -m 0755 -t /out "target/$gnu/release/spark-injector" "target/$musl/release/init-sync"

# `manifests/images.py` builds these two stages without a daemon; it reads them here.
FROM scratch AS init-sync
COPY --from=build /out/init-sync /init-sync
# The pod sets the user that reads the files; this one is for whoever runs the image by hand.
USER 65532:65532
ENTRYPOINT ["/init-sync"]
LABEL org.opencontainers.image.title="init-sync" \
      org.opencontainers.image.description="Init container: writes files from its environment, then is gone" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/spark-injector/spark-injector"

FROM scratch AS spark-injector
COPY --from=build /out/spark-injector /spark-injector
USER 65532:65532
ENTRYPOINT ["/spark-injector"]
LABEL org.opencontainers.image.title="spark-injector" \
      org.opencontainers.image.description="Gives Spark drivers and executors what their team needs" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/spark-injector/spark-injector"
