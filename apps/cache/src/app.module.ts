import { CacheModule } from '@diptych/cache';
import { LogModule } from '@diptych/log';
import { Module } from '@nestjs/common';

/** The cache, answering over NATS; the log is elsewhere. */
@Module({ imports: [LogModule.overNats(), CacheModule.inProcess(), CacheModule.served()] })
export class AppModule {}
