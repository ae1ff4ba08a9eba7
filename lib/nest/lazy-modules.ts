import { ModuleRef, type LazyModuleLoader, type ModulesContainer } from '@nestjs/core';
import type { Module } from '@nestjs/core/injector/module';

/**
 * The modules of an application, and those that it loads while it runs (`LazyModuleLoader`). Nest tells nobody of the
 * latter, so the loader of this application is asked to: whoever loads a module waits until it has been told of.
 */
export class LazyModules {
  #loading = 0;
  /** Those that were complete when the first load began that has not ended; absent: all are. */
  #complete: readonly Module[] | undefined;

  constructor(
    private readonly modules: ModulesContainer,
    loader: LazyModuleLoader,
    tell: (loaded: Iterable<Module>) => Promise<void>,
  ) {
    const load = loader.load.bind(loader);
    loader.load = async (...args) => {
      if (this.#loading++ === 0) this.#complete = [...modules.values()];
      let moduleRef: ModuleRef;
      try {
        moduleRef = await load(...args);
      } finally {
        if (--this.#loading === 0) this.#complete = undefined;
      }
      await tell(this.#withImports(moduleRef));
      return moduleRef;
    };
  }

  /** Those that are complete: one that is being loaded has classes without instances. */
  get complete(): Iterable<Module> {
    return this.#complete ?? this.modules.values();
  }

  #withImports(moduleRef: ModuleRef): Set<Module> {
    const found = new Set<Module>();
    const visit = (module: Module): void => {
      if (found.has(module)) return;
      found.add(module);
      module.imports.forEach(visit);
    };
    for (const module of this.modules.values()) {
      if (module.providers.get(ModuleRef)?.instance === moduleRef) visit(module);
    }
    return found;
  }
}
