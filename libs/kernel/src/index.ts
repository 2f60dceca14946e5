export * from './errors.js';
export * from './clock.js';
export * from './call-context.js';
export * from './traceparent.js';
export * from './deadline-wheel.js';
export * from './channel.js';
export * from './lifetime.js';
