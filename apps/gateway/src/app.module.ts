import { CacheModule } from '@diptych/cache';
import { GatewayModule } from '@diptych/gateway';
import { LogModule } from '@diptych/log';
import { Module } from '@nestjs/common';

/** The HTTP edge; log and cache are elsewhere. */
@Module({ imports: [LogModule.overNats(), CacheModule.overNats(), GatewayModule.http()] })
export class AppModule {}
