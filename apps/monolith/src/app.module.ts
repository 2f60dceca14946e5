import { CacheModule } from '@diptych/cache';
import { GatewayModule } from '@diptych/gateway';
import { LogModule } from '@diptych/log';
import { Module } from '@nestjs/common';

/** Everything in one process. */
@Module({ imports: [LogModule.inProcess(), CacheModule.inProcess(), GatewayModule.http()] })
export class AppModule {}
