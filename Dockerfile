# One image for all four apps; the command says which one runs. Build stages:
#   manifests  only what decides which packages are needed, so that a change of source reuses the next two stages
#   build      everything, compiled
#   packages   what the apps need at run time, without development packages
#   (last)     the two put together, run by an ordinary user
# `ca` is an optional secret: a bundle of certificates for networks that inspect TLS.
FROM node:24-bookworm-slim AS manifests
WORKDIR /diptych
COPY . .
RUN find . -type f ! -name package.json ! -name package-lock.json ! -name .npmrc -delete && find . -type d -empty -delete

FROM node:24-bookworm-slim AS build
WORKDIR /diptych
COPY --from=manifests /diptych ./
RUN --mount=type=secret,id=ca,target=/run/ca.crt,required=false \
    if [ -s /run/ca.crt ]; then export NODE_EXTRA_CA_CERTS=/run/ca.crt; fi; npm ci --omit=optional
COPY . .
# One compiler process for all projects; the same references as Nx builds by.
RUN npx tsc -b apps/monolith apps/gateway apps/cache apps/log

FROM node:24-bookworm-slim AS packages
WORKDIR /diptych
COPY --from=manifests /diptych ./
RUN --mount=type=secret,id=ca,target=/run/ca.crt,required=false \
    if [ -s /run/ca.crt ]; then export NODE_EXTRA_CA_CERTS=/run/ca.crt; fi; \
    npm ci --omit=dev --omit=optional --include-workspace-root=false \
      -w @diptych/monolith-app -w @diptych/gateway-app -w @diptych/cache-app -w @diptych/log-app

FROM node:24-bookworm-slim
WORKDIR /diptych
ENV NODE_ENV=production DIPTYCH_HTTP_HOST=0.0.0.0 DIPTYCH_HTTP_PORT=8080 DIPTYCH_LOG_DATA_DIR=/data
RUN mkdir /data && chown node:node /data
COPY --from=packages /diptych ./
COPY --from=build /diptych/libs ./libs
COPY --from=build /diptych/apps ./apps
USER node
# A shell's own TCP costs a few milliseconds a check; starting node for it cost 15 % of a core.
HEALTHCHECK --interval=1s --timeout=3s --retries=5 --start-period=30s \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$DIPTYCH_HTTP_PORT && printf 'GET /health/ready HTTP/1.0\r\n\r\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]
VOLUME /data
# The apps are started directly by node, as process 1, and handle SIGTERM themselves.
CMD ["node", "apps/monolith/dist/main.js"]
