/** Which connections somebody asks about. */
import { connKey } from '../abi/generated.js';
import type { Connection, Owner } from './entry.js';
import { hasPorts, inPrefix, parsePrefix, parseProto, type Prefix, type Tuple } from './tuple.js';

export interface Filter {
  readonly owners: ReadonlySet<Owner>;
  readonly zone?: number;
  readonly proto?: number;
  /** Upper case. */
  readonly state?: string;
  readonly src?: Prefix;
  readonly dst?: Prefix;
  readonly address?: Prefix;
  readonly port?: number;
  /** Whatever else is asked. */
  readonly where?: (connection: Connection) => boolean;
}
export const ours: Filter = { owners: new Set<Owner>(['ours']) };

/** Command line options that make a filter; src and dst are those of the original direction. */
export const filterOptions = { zone: { type: 'string' }, proto: { type: 'string' },
  state: { type: 'string' }, src: { type: 'string' }, dst: { type: 'string' },
  address: { type: 'string' }, port: { type: 'string' }, owner: { type: 'string' } } as const;
export const filterUsage = '[--zone N] [--proto P] [--src A[/N]] [--dst A[/N]] ' +
  '[--address A[/N]] [--port N] [--state S] [--owner ours|foreign|all]';

const number16 = (text: string): number | undefined =>
  /^\d{1,5}$/.test(text) && Number(text) <= 0xffff ? Number(text) : undefined;
const parsers: Readonly<Record<string, (text: string) => unknown>> = {
  zone: number16, port: number16, proto: (text) => parseProto(text.toLowerCase()),
  src: parsePrefix, dst: parsePrefix, address: parsePrefix, state: (text) => text.toUpperCase(),
};
const ownerSets: Readonly<Record<string, readonly Owner[]>> = { ours: ['ours'],
  foreign: ['foreign'], all: ['ours', 'foreign'] };

/** Of the values of `filterOptions`. */
export function parseFilter(values: Readonly<Record<string, unknown>>):
  { value: Filter; problems: string[] } {
  const problems: string[] = [];
  const parts = Object.entries(parsers).flatMap(([name, parse]) => {
    const text = values[name];
    if (typeof text !== 'string') return [];
    const value = parse(text);
    if (value === undefined) problems.push(`--${name} ${text}: not understood`);
    return [[name, value] as const];
  });
  const owner = typeof values['owner'] === 'string' ? values['owner'] : 'ours';
  const owners = Object.hasOwn(ownerSets, owner) ? ownerSets[owner] : undefined;
  if (!owners) problems.push(`--owner ${owner}: not ours, foreign or all`);
  return { value: { ...Object.fromEntries(parts), owners: new Set(owners) }, problems };
}

const { zone: zoneField, proto: protoField } = connKey.fields;

/** Cheap first look at a key: false when no entry under it can match. */
export function mayMatch({ zone, proto }: Filter, key: Uint8Array): boolean {
  const at = zoneField!.offset;
  if (zone !== undefined && (key[at]! | key[at + 1]! << 8) !== zone) return false;
  return proto === undefined || key[protoField!.offset] === proto;
}

const ends = (filter: Filter, { src, dst, family }: Tuple): boolean =>
  (!filter.src || (filter.src.family === family && inPrefix(filter.src, src))) &&
  (!filter.dst || (filter.dst.family === family && inPrefix(filter.dst, dst))) &&
  (!filter.address || (filter.address.family === family &&
    (inPrefix(filter.address, src) || inPrefix(filter.address, dst))));

const onPort = (port: number | undefined, { proto, sport, dport }: Tuple): boolean =>
  port === undefined || (hasPorts(proto) && (sport === port || dport === port));

export function matches(filter: Filter, connection: Connection): boolean {
  const { owner, zone, proto, orig, reply, state } = connection;
  return filter.owners.has(owner) &&
    (filter.zone === undefined || filter.zone === zone) &&
    (filter.proto === undefined || filter.proto === proto) &&
    (filter.state === undefined || filter.state === state.toUpperCase()) &&
    (ends(filter, orig) || (filter.address !== undefined && ends(filter, reply))) &&
    (onPort(filter.port, orig) || onPort(filter.port, reply)) &&
    (filter.where === undefined || filter.where(connection));
}
