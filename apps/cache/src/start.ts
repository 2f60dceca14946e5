import { runApp } from '@diptych/host';
import { AppModule } from './app.module.js';

await runApp(AppModule, { name: 'cache', httpPort: 8091 });
