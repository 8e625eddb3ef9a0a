/* SPDX-License-Identifier: Apache-2.0 */
/*
 * abi_network.h - the part of abi.h about frames with VLAN tags and physical networks. Included
 * there, and nowhere else.
 */
#ifndef OVN_XDP_ABI_NETWORK_H
#define OVN_XDP_ABI_NETWORK_H

/* Set in a tag beside its VLAN: there is one. */
#define TAG_PRESENT 0x1000u

/* providers: where frames enter, by device, VLAN and destination those of a physical network, by
 * device and VLAN alone (address 0) those of ports nested in a VIF. */
struct provider_key {
	__u32 buffer;
	__u32 ifindex;
	__u32 vlan_mac_hi;	/* VLAN (0: untagged) << 16 | high 16 bits of the address */
	__u32 mac_lo;
};
struct provider {
	__u32 datapath;
	__u32 port;
	__u32 zone;
	__u32 flags;		/* FW_FLAGS that they enter with */
	__u32 router_mac[2];	/* source of what another chassis has routed; 0: as it is; the first
				 * word all ones: not known */
};

/* net_macs: with ovn-chassis-mac-mappings, (datapath, source) -> the source that frames leave the
 * datapath's localnet port with. Datapath 0: addresses of other chassis, without such a value. */
struct net_mac_key { __u32 buffer; __u32 datapath; __u32 mac_hi; __u32 mac_lo; };
struct net_mac { __u32 mac_hi; __u32 mac_lo; };

#endif
