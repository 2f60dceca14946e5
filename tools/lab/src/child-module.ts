import { fileURLToPath } from 'node:url';

/**
 * The file of a module beside another, as source or compiled, whichever that one is.
 *
 * @param from `import.meta.url` of the module that asks
 * @param name relative, without extension
 */
export function childModule(from: string, name: string): string {
  return fileURLToPath(new URL(name + (from.endsWith('.ts') ? '.ts' : '.js'), from));
}
