# One image for all four apps; the command says which one runs. Build stages:
#   manifests   only what decides which packages are needed, so that a change of source reuses the next stages
#   build       everything, compiled, and then only what runs
#   packages    what the apps need at run time, without development packages
#   fault-proxy the TCP proxy of the outage tests; this and the next are built only when they are asked for by name
#   balancer    HAProxy in front of several gateways
#   lab         the lab with all that it starts, nats-server among it
#   (last)      the apps, run by an ordinary user
# `ca` is an optional secret: a bundle of certificates for networks that inspect TLS.
# The bases are named by tag, and can be pinned to a digest: --build-arg NODE_IMAGE=node:24-bookworm-slim@sha256:...
ARG NODE_IMAGE=node:24-bookworm-slim
ARG NATS_IMAGE=nats:2.10-alpine

FROM ${NODE_IMAGE} AS manifests
WORKDIR /diptych
COPY . .
RUN find . -type f ! -name package.json ! -name package-lock.json ! -name .npmrc -delete && find . -type d -empty -delete

FROM ${NODE_IMAGE} AS build
WORKDIR /diptych
COPY --from=manifests /diptych ./
RUN --mount=type=secret,id=ca,target=/run/ca.crt,required=false \
    if [ -s /run/ca.crt ]; then export NODE_EXTRA_CA_CERTS=/run/ca.crt; fi; npm ci --omit=optional
COPY . .
# One compiler process for all projects; the same references as Nx builds by. What stays is what Node reads: no sources, no types, no maps.
RUN npx tsc -b apps/monolith apps/gateway apps/cache apps/log tools/fault-proxy tools/lab \
    && find apps libs tools/fault-proxy tools/lab -name node_modules -prune -exec rm -rf {} + \
    && find apps libs tools/fault-proxy tools/lab -type f ! -name package.json ! -path '*/dist/*.js' -delete \
    && find apps libs tools/fault-proxy tools/lab -type d -empty -delete

FROM ${NODE_IMAGE} AS packages
WORKDIR /diptych
COPY --from=manifests /diptych ./
RUN --mount=type=secret,id=ca,target=/run/ca.crt,required=false \
    if [ -s /run/ca.crt ]; then export NODE_EXTRA_CA_CERTS=/run/ca.crt; fi; \
    npm ci --omit=dev --omit=optional --include-workspace-root=false \
      -w @diptych/monolith-app -w @diptych/gateway-app -w @diptych/cache-app -w @diptych/log-app

FROM ${NODE_IMAGE} AS fault-proxy-packages
WORKDIR /diptych
COPY --from=manifests /diptych ./
RUN --mount=type=secret,id=ca,target=/run/ca.crt,required=false \
    if [ -s /run/ca.crt ]; then export NODE_EXTRA_CA_CERTS=/run/ca.crt; fi; \
    npm ci --omit=dev --omit=optional --include-workspace-root=false -w @diptych/fault-proxy

FROM ${NODE_IMAGE} AS fault-proxy
WORKDIR /diptych
# For slow disks: strace delays the syncs of a part from outside.
RUN apt-get update && apt-get install -y --no-install-recommends strace && apt-get clean && rm -rf /var/lib/apt/lists/*
COPY --from=fault-proxy-packages /diptych ./
COPY --from=build /diptych/libs/kernel ./libs/kernel
COPY --from=build /diptych/tools/fault-proxy ./tools/fault-proxy
USER node
ENTRYPOINT ["node", "tools/fault-proxy/dist/fault-proxy-main.js"]

# From the same base, so that there is one to keep up to date; Debian's package has the security fixes of a long-term branch.
FROM ${NODE_IMAGE} AS balancer
RUN apt-get update && apt-get install -y --no-install-recommends haproxy \
    && apt-get clean && rm -rf /var/lib/apt/lists/*
COPY tools/balancer/*.cfg /etc/haproxy/
ENV BALANCER_CONTROL=ipv4@127.0.0.1:9999
USER haproxy
ENTRYPOINT ["haproxy"]
CMD ["-db", "-f", "/etc/haproxy/replicas.cfg", "-f", "/etc/haproxy/compose.cfg"]

FROM ${NATS_IMAGE} AS nats

FROM ${NODE_IMAGE} AS lab-packages
WORKDIR /diptych
COPY --from=manifests /diptych ./
RUN --mount=type=secret,id=ca,target=/run/ca.crt,required=false \
    if [ -s /run/ca.crt ]; then export NODE_EXTRA_CA_CERTS=/run/ca.crt; fi; \
    npm ci --omit=dev --omit=optional --include-workspace-root=false -w @diptych/lab \
      -w @diptych/monolith-app -w @diptych/gateway-app -w @diptych/cache-app -w @diptych/log-app

FROM ${NODE_IMAGE} AS lab
WORKDIR /diptych
# What it writes, the logs of the systems it starts included: on a disk, since a sync in memory costs nothing.
RUN mkdir results && chown node:node results
ENV NODE_ENV=production TMPDIR=/diptych/results
COPY --from=nats /usr/local/bin/nats-server /usr/local/bin/
COPY --from=lab-packages /diptych ./
COPY --from=build /diptych/libs ./libs
COPY --from=build /diptych/apps ./apps
COPY --from=build /diptych/tools/fault-proxy ./tools/fault-proxy
COPY --from=build /diptych/tools/lab ./tools/lab
USER node
ENTRYPOINT ["node", "tools/lab/dist/main.js"]
CMD ["compare"]

FROM ${NODE_IMAGE}
WORKDIR /diptych
ENV NODE_ENV=production DIPTYCH_HTTP_HOST=0.0.0.0 DIPTYCH_HTTP_PORT=8080 DIPTYCH_LOG_DATA_DIR=/data
RUN mkdir /data && chown node:node /data
COPY --from=packages /diptych ./
COPY --from=build /diptych/libs ./libs
COPY --from=build /diptych/apps ./apps
USER node
# A shell's own TCP costs a few milliseconds a check; starting node for it cost 15 % of a core.
HEALTHCHECK --interval=2s --timeout=3s --retries=5 --start-period=120s \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$DIPTYCH_HTTP_PORT && printf 'GET /health/ready HTTP/1.0\r\n\r\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]
# The apps are started directly by node, as process 1, and handle SIGTERM themselves.
CMD ["node", "apps/monolith/dist/main.js"]
