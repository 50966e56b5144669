# The Kafka broker of the tests, as an image. The context holds the jars (lib), start.sh and the properties files; see
# services.sh.
ARG DEBIAN=debian:bookworm-slim

# A Java runtime with the modules that the broker and its command line tools use: a quarter of the whole.
FROM $DEBIAN AS java
# Java's package fails without a folder for its manual pages.
RUN mkdir -p /usr/share/man/man1 && apt-get update -qq && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openjdk-17-jdk-headless binutils >/dev/null && \
    jlink --output /java --strip-debug --no-man-pages --no-header-files --vm server \
      --add-modules java.base,java.desktop,java.logging,java.management,java.naming,java.rmi,java.security.jgss,java.security.sasl,java.sql,java.xml,jdk.crypto.ec,jdk.management,jdk.unsupported,jdk.zipfs && \
    /java/bin/java -Xshare:dump >/dev/null

FROM $DEBIAN
COPY --from=java /java /java
ENV PATH=/java/bin:/usr/bin:/bin
COPY lib /kafka/lib
COPY start.sh broker.properties log4j2.properties log4j2-tools.properties /kafka/
USER 65532:65532
ENTRYPOINT ["/kafka/start.sh"]
