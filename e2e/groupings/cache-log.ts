import { CacheModule } from '@diptych/cache';
import { runApp } from '@diptych/host';
import { LogModule } from '@diptych/log';
import { Module } from '@nestjs/common';

/** The cache lives with the log, so that commits reach it in the same step; the edge is elsewhere (`apps/gateway`). */
@Module({ imports: [LogModule.inProcess(), LogModule.served(), CacheModule.inProcess(), CacheModule.served()] })
class AppModule {}

await runApp(AppModule, { name: 'cache-log', httpPort: 8094 });
