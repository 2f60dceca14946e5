import type { Lifetime } from '@diptych/kernel';
import type { Telemetry } from '@diptych/telemetry';
import type { InjectionToken } from '@nestjs/common';
import type { Environment } from './environment.js';
import type { HttpEdge } from './http-edge.js';

/** A Nest injection token that knows the type behind it, for readers: `@Inject(LIFETIME) lifetime: Lifetime`. */
export type Token<T> = InjectionToken<T> & symbol;

/*
 * What the host gives to every module of a process, without importing anything.
 */

/** Owns what the parts start: `lifetime.own('log.file', () => log.close())`. Ends it newest first, after HTTP has drained. */
export const LIFETIME: Token<Lifetime> = Symbol('LIFETIME');

/** `{ logger, metrics, health }` of this process. */
export const TELEMETRY: Token<Telemetry> = Symbol('TELEMETRY');

/** Reads settings: `environment.read(LOG_SETTINGS)`. */
export const ENVIRONMENT: Token<Environment> = Symbol('ENVIRONMENT');

/** The HTTP server of this process: routes are added to `edge.fastify` in `onModuleInit` at the latest. */
export const HTTP_EDGE: Token<HttpEdge> = Symbol('HTTP_EDGE');
