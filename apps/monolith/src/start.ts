import { runThreads } from '@diptych/host';
import { AppModule } from './app.module.js';
import { EdgeThreadModule, MainThreadModule } from './threads.module.js';

await runThreads({
  name: 'monolith',
  httpPort: 8080,
  whole: AppModule,
  main: MainThreadModule,
  thread: EdgeThreadModule,
  program: new URL(import.meta.url.endsWith('.ts') ? './edge-thread.ts' : './edge-thread.js', import.meta.url),
});
