import { CacheModule } from '@diptych/cache';
import { GatewayModule } from '@diptych/gateway';
import { LogModule } from '@diptych/log';
import { Module } from '@nestjs/common';

/** The main thread of a monolith of several: the one log, and what keeps the shared cache right. */
@Module({ imports: [LogModule.inProcess(), LogModule.toThreads(), CacheModule.toThreads()] })
export class MainThreadModule {}

/** Each of the others: an edge of its own, the cache of all, the log in the main thread. */
@Module({ imports: [LogModule.inMain(), CacheModule.shared(), GatewayModule.http()] })
export class EdgeThreadModule {}
