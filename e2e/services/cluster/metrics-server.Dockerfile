# The metrics server, for autoscaling in tests. The context holds the program, which needs nothing else; see services.sh.
FROM scratch
COPY metrics-server /metrics-server
USER 65532:65532
ENTRYPOINT ["/metrics-server"]
