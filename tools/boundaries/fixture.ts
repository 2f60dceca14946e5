/**
 * Imports that must be refused, and beside them ones that must not: `boundaries.spec.ts` hands each to ESLint with the repository's own
 * configuration, as if it stood in the file named. `refused` is what the message must say.
 */
export interface Import {
  file: string;
  code: string;
  refused?: RegExp;
}

const engine = 'libs/cache/src/engine/fixture.ts';
const layers = /A project tagged with "layer:\w+" can only depend on libs tagged with/;
/** What depends on the importing project already: Nx names the circle instead of the layer. */
const circle = /Circular dependency between/;

export const fixture: Import[] = [
  // Imports run one way: kernel <- platform <- domain <- app.
  { file: 'libs/kernel/src/fixture.ts', code: `import { inProcess } from '@diptych/messaging';`, refused: circle },
  { file: 'libs/kernel/src/fixture.ts', code: `import { LogModule } from '@diptych/log';`, refused: circle },
  { file: 'libs/messaging/src/fixture.ts', code: `import { LogModule } from '@diptych/log';`, refused: circle },
  { file: 'libs/messaging/src/fixture.ts', code: `import { DiptychError } from '@diptych/kernel';` },
  { file: 'libs/host/src/fixture.ts', code: `import { CacheModule } from '@diptych/cache';`, refused: circle },
  { file: 'libs/poller/src/fixture.ts', code: `import { LogModule } from '@diptych/log';`, refused: layers },
  { file: 'libs/poller/src/fixture.ts', code: `import type { LogPort } from '@diptych/log';`, refused: layers },
  { file: 'libs/log/src/fixture.ts', code: `import { DiptychError } from '@diptych/kernel';` },
  { file: 'apps/monolith/src/fixture.ts', code: `import { LogModule } from '@diptych/log';` },

  // An app is imported by nobody.
  {
    file: 'libs/gateway/src/fixture.ts',
    code: `import { AppModule } from '@diptych/monolith-app';`,
    refused: /Only packages defined/,
  },
  {
    file: 'apps/gateway/src/fixture.ts',
    code: `import { AppModule } from '@diptych/monolith-app';`,
    refused: /Only packages defined/,
  },
  {
    file: 'apps/gateway/src/fixture.ts',
    code: `import { AppModule } from '../../monolith/src/app.module.js';`,
    refused: /cannot be imported by a relative or absolute path/,
  },

  // Another domain's port, but never its engine; and never backwards.
  { file: 'libs/cache/src/fixture.ts', code: `import type { LogPort } from '@diptych/log';` },
  { file: 'libs/gateway/src/fixture.ts', code: `import type { CachePort } from '@diptych/cache';` },
  {
    file: 'libs/log/src/fixture.ts',
    code: `import type { CachePort } from '@diptych/cache';`,
    refused: circle,
  },
  {
    file: 'libs/cache/src/fixture.ts',
    code: `import type { GatewayModule } from '@diptych/gateway';`,
    refused: circle,
  },
  {
    file: 'libs/cache/src/fixture.ts',
    code: `import { openFileLog } from '../../log/src/engine/file-log.js';`,
    refused: /cannot be imported by a relative or absolute path/,
  },
  {
    file: 'libs/cache/src/fixture.ts',
    code: `import { openFileLog } from '@diptych/log/src/engine/file-log.js';`,
    refused: /unresolvable|deep|not allowed/i,
  },

  // The kernel knows no framework.
  {
    file: 'libs/kernel/src/fixture.ts',
    code: `import { Injectable } from '@nestjs/common';`,
    refused: /not allowed to import "@nestjs\/common"|Transitive/,
  },
  {
    file: 'libs/kernel/src/fixture.ts',
    code: `import { connect } from '@nats-io/transport-node';`,
    refused: /not allowed to import|Transitive/,
  },
  { file: 'libs/log/src/fixture.ts', code: `import { Module } from '@nestjs/common';` },

  // An engine knows neither Nest nor NATS nor the bindings.
  { file: engine, code: `import { Injectable } from '@nestjs/common';`, refused: /An engine knows no framework/ },
  { file: engine, code: `import { connect } from '@nats-io/transport-node';`, refused: /An engine knows no binding/ },
  { file: engine, code: `import { inProcess } from '@diptych/messaging';`, refused: /An engine knows no binding/ },
  { file: engine, code: `import { CacheModule } from '../cache.module.js';`, refused: /never the other way round/ },
  { file: engine, code: `import { CacheClient } from '../adapters/nats.client.js';`, refused: /never the other way round/ },
  { file: engine, code: `import { DiptychError } from '@diptych/kernel';` },
  { file: engine, code: `import type { LogPort } from '@diptych/log';` },

  // The testing library is for tests.
  { file: 'libs/log/src/fixture.ts', code: `import { startNatsServer } from '@diptych/testing';`, refused: layers },
  { file: 'libs/log/src/fixture.spec.ts', code: `import { startNatsServer } from '@diptych/testing';` },

  // The lab knows the system only from outside.
  { file: 'tools/lab/src/fixture.ts', code: `import { openFileLog } from '@diptych/log';`, refused: layers },
  { file: 'tools/lab/src/fixture.ts', code: `import { NestFactory } from '@nestjs/core';`, refused: /not allowed to import|Transitive/ },

  // What a project imports, it declares.
  { file: 'libs/poller/src/fixture.ts', code: `import pino from 'pino';`, refused: /Only packages defined in the "package.json"/ },
];
