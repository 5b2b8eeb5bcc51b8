# The programs as images with one static file each: not as root, no shell.
#
#   docker build --target consumer --tag warren-consumer .
#   docker run --rm warren-consumer --url amqp://user:password@broker/
#
# What the programs say with --version is from the .git of the build context,
# which .dockerignore therefore leaves in.
FROM --platform=$BUILDPLATFORM golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH
RUN --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags='-s -w' -o /out/ ./apps/producer ./apps/consumer ./apps/hello

FROM scratch AS base
LABEL org.opencontainers.image.source=https://github.com/warrenmq/warren \
      org.opencontainers.image.licenses=MIT
# For amqps://.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
# A number, so that an orchestrator sees that it is not root.
USER 65532:65532

FROM base AS producer
COPY --from=build /out/producer /
ENTRYPOINT ["/producer"]

FROM base AS consumer
COPY --from=build /out/consumer /
ENTRYPOINT ["/consumer"]

# Needs no broker: docker run --rm $(docker build --quiet .)
FROM base AS hello
COPY --from=build /out/hello /
ENTRYPOINT ["/hello"]
