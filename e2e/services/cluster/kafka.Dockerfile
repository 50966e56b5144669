# The Kafka broker of the tests, as an image. The context holds the jars (lib), start.sh and the properties files; see
# services.sh.
ARG DEBIAN=debian:bookworm-slim
FROM $DEBIAN
# Java's package fails without a folder for its manual pages.
RUN mkdir -p /usr/share/man/man1 && apt-get update -qq && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openjdk-17-jre-headless >/dev/null && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /usr/share/doc /usr/share/man
COPY lib /kafka/lib
COPY start.sh broker.properties log4j2.properties log4j2-tools.properties /kafka/
USER 65532:65532
ENTRYPOINT ["/kafka/start.sh"]
