import type { DynamicModule, Type } from '@nestjs/common';

export const APPS = ['monolith', 'gateway', 'cache', 'log'] as const;

/** What an app wires, without starting it. By a path, for apps may not import each other; these tests look at all of them. */
export async function moduleOf(app: (typeof APPS)[number]): Promise<Type | DynamicModule> {
  const { AppModule } = (await import(new URL(`../../${app}/src/app.module.ts`, import.meta.url).href)) as { AppModule: Type };
  return AppModule;
}
