import { type DynamicModule, Module } from '@nestjs/common';

export interface BootstrapOptions {
  appName: string;
  /** How other services call this one. Here nobody does: the sample talks by events alone. */
  protocol: 'grpc' | 'http';
  additionalModules?: DynamicModule[];
}

export const BOOTSTRAP_OPTIONS = Symbol('BOOTSTRAP_OPTIONS');

/** Stands in for the module with which the product starts each of its services. */
@Module({})
export class BootstrapModule {
  static forRoot(options: BootstrapOptions): DynamicModule {
    return {
      module: BootstrapModule,
      global: true,
      imports: options.additionalModules ?? [],
      providers: [{ provide: BOOTSTRAP_OPTIONS, useValue: options }],
      exports: [BOOTSTRAP_OPTIONS],
    };
  }
}
