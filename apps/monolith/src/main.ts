import '@diptych/host/node-version';

// Only now, when this Node is known to read them.
const { runApp } = await import('@diptych/host');
const { AppModule } = await import('./app.module.js');

await runApp(AppModule, { name: 'monolith', httpPort: 8080 });
