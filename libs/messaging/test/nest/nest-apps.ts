import 'reflect-metadata';
import type { NatsServer } from '@diptych/testing';
import { startNatsServer } from '@diptych/testing';
import type { INestApplicationContext, INestMicroservice } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { ClientProxy, ClientProviderOptions, MicroserviceOptions } from '@nestjs/microservices';
import { ClientsModule, Transport } from '@nestjs/microservices';
import type { DiptychClientOptions, DiptychServerOptions } from '../../src/nest/index.js';
import { DiptychClient, DiptychServer } from '../../src/nest/index.js';
import { OrdersModule, seen } from './orders.controller.js';

/** A transport as an application names it: on both sides one line. */
export interface NestTransport {
  readonly name: 'Transport.NATS' | 'DiptychServer and DiptychClient';
  server(url: string, options?: { queue?: string }): MicroserviceOptions;
  client(url: string): ClientProviderOptions;
}

export const STOCK: NestTransport = {
  name: 'Transport.NATS',
  server: (url, { queue = 'orders' } = {}) => ({ transport: Transport.NATS, options: { servers: [url], queue } }),
  client: (url) => ({ name: 'ORDERS', transport: Transport.NATS, options: { servers: [url] } }),
};

export const OURS: NestTransport = {
  name: 'DiptychServer and DiptychClient',
  server: (url, { queue = 'orders' } = {}) => ({ strategy: new DiptychServer({ servers: url, queue, name: 'server' }) }),
  client: (url) => ({ name: 'ORDERS', customClass: DiptychClient, options: { servers: url, name: 'client', timeoutMs: 5_000 } }),
};

/** The applications of one test. All are closed after it, newest first. */
export class NestApps implements AsyncDisposable {
  readonly #apps: INestApplicationContext[] = [];

  async serve(options: MicroserviceOptions, prepare: (app: INestMicroservice) => void = () => undefined): Promise<INestMicroservice> {
    const app = await NestFactory.createMicroservice<MicroserviceOptions>(OrdersModule, { ...options, logger: false });
    this.#apps.push(app);
    prepare(app);
    await app.listen();
    return app;
  }

  serveOurs(options: DiptychServerOptions, prepare?: (app: INestMicroservice) => void): Promise<INestMicroservice> {
    return this.serve({ strategy: new DiptychServer({ name: 'server', ...options }) }, prepare);
  }

  async client(provider: ClientProviderOptions): Promise<ClientProxy> {
    const app = await NestFactory.createApplicationContext(clientModule(provider), { logger: false });
    this.#apps.push(app);
    return app.get<ClientProxy>(provider.name);
  }

  clientOfOurs(options: DiptychClientOptions): Promise<DiptychClient> {
    const provider = { name: 'ORDERS', customClass: DiptychClient, options: { name: 'client', timeoutMs: 5_000, ...options } };
    return this.client(provider) as Promise<DiptychClient>;
  }

  async closeAll(): Promise<void> {
    for (let app = this.#apps.pop(); app; app = this.#apps.pop()) await app.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.closeAll();
  }
}

function clientModule(provider: ClientProviderOptions) {
  class App {}
  Module({ imports: [ClientsModule.register([provider])] })(App);
  return App;
}

/** What a test of the transport has to itself. */
export interface Given {
  readonly broker: NatsServer;
  readonly apps: NestApps;
}

export async function begin(): Promise<Given> {
  return { broker: await startNatsServer(), apps: new NestApps() };
}

/** Lets go of what a handler holds, so that applications can close. */
export async function end({ broker, apps }: Given): Promise<void> {
  for (const release of seen.hold.values()) release('released');
  await apps.closeAll();
  await broker.stop();
  seen.clear();
}
