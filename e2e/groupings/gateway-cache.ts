import { CacheModule } from '@diptych/cache';
import { GatewayModule } from '@diptych/gateway';
import { runApp } from '@diptych/host';
import { LogModule } from '@diptych/log';
import { Module } from '@nestjs/common';

/** The edge keeps a cache of its own; the log is elsewhere (`apps/log`). */
@Module({ imports: [LogModule.overNats(), CacheModule.inProcess(), GatewayModule.http()] })
class AppModule {}

await runApp(AppModule, { name: 'gateway-cache', httpPort: 8093 });
