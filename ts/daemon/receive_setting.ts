/**
 * Where what comes by geneve is decided under OVS's kernel datapath, as external_ids of the local
 * Open_vSwitch database:
 *
 *   ovn-xdp-receive   tunnel: at TC on the geneve device, where frames come merged (GRO); nic:
 *                     by XDP on the devices of the routes to other chassis, and there what that
 *                     cannot carry
 */
export const receiveSetting = 'receive';
const places = ['tunnel', 'nic'] as const;
export type ReceivePlace = typeof places[number];

/** The first of them if it is not set, or is none of them. */
export function readReceive(settings: ReadonlyMap<string, string>):
  { value: ReceivePlace; problem: string | undefined } {
  const text = settings.get(receiveSetting) ?? places[0];
  const value = places.find((place) => place === text);
  return { value: value ?? places[0], problem: value !== undefined ? undefined
    : `ovn-xdp-${receiveSetting}="${text}" is neither ${places.join(' nor ')}` };
}
