# The S3 server of the tests, as an image. The context holds the program; see services.sh.
ARG DEBIAN=debian:bookworm-slim
FROM $DEBIAN
COPY versitygw /versitygw
USER 65532:65532
ENTRYPOINT ["/versitygw"]
