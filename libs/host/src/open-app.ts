import type { Lifetime } from '@diptych/kernel';
import type { Telemetry } from '@diptych/telemetry';
import { Module, type DynamicModule, type Type as Class, type ValueProvider } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Environment } from './environment.js';
import type { HttpListener } from './http-listener.js';
import { createHttpServer, type Overview } from './http-server.js';
import { nestLogger } from './nest-logger.js';
import { ENVIRONMENT, HTTP_EDGE, LIFETIME, TELEMETRY } from './tokens.js';

export interface HostParts {
  readonly environment: Environment;
  readonly lifetime: Lifetime;
  readonly telemetry: Telemetry;
  /** What the host gives to the modules besides. */
  readonly providers?: readonly ValueProvider[];
}

export interface HttpParts extends HostParts {
  /** Has its port already. */
  readonly listener: HttpListener;
  readonly drainMs: number;
  /** Default: what this thread alone says of itself. */
  readonly overview?: Overview;
}

/** Starts the modules of an app behind a listener and lets requests in. What it opens is the lifetime's. */
export async function openApp(root: Class | DynamicModule, parts: HttpParts): Promise<void> {
  const { lifetime, telemetry, listener, drainMs, overview } = parts;
  const edge = createHttpServer(listener, telemetry, overview);
  const app = await NestFactory.create(hostModule(root, parts, { provide: HTTP_EDGE, useValue: edge }), edge.adapter, {
    logger: nestLogger(telemetry.logger),
    abortOnError: false,
    bodyParser: false,
  });
  lifetime.own('nest', () => app.close());
  await app.init();
  await edge.open();
  lifetime.own('http.requests', () => listener.drain(drainMs));
  lifetime.own('ready', () => void telemetry.health.hold('stopping'));
}

/** Starts the modules of an app that serves no HTTP. */
export async function openParts(root: Class | DynamicModule, parts: HostParts): Promise<void> {
  const app = await NestFactory.createApplicationContext(hostModule(root, parts), {
    logger: nestLogger(parts.telemetry.logger),
    abortOnError: false,
  });
  parts.lifetime.own('nest', () => app.close());
}

/** The app's module, and beside it the tokens that every module of it may ask for. */
function hostModule(root: Class | DynamicModule, parts: HostParts, ...besides: ValueProvider[]): DynamicModule {
  const { environment, lifetime, telemetry } = parts;
  const providers = [
    { provide: ENVIRONMENT, useValue: environment },
    { provide: LIFETIME, useValue: lifetime },
    { provide: TELEMETRY, useValue: telemetry },
    ...(parts.providers ?? []),
    ...besides,
  ];
  return { module: HostModule, global: true, imports: [root], providers, exports: providers.map(({ provide }) => provide) };
}

@Module({})
class HostModule {}
