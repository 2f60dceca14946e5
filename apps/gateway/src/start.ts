import { runApp } from '@diptych/host';
import { AppModule } from './app.module.js';

await runApp(AppModule, { name: 'gateway', httpPort: 8090 });
