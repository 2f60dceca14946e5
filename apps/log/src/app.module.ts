import { LogModule } from '@diptych/log';
import { Module } from '@nestjs/common';

/** The log, answering over NATS. */
@Module({ imports: [LogModule.inProcess(), LogModule.served()] })
export class AppModule {}
