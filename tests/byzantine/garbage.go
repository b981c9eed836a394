package main

import (
	"math/rand/v2"
	"net"
	"strings"
	"time"

	bc "github.com/cometbft/cometbft/blocksync"
	cfg "github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/consensus"
	"github.com/cometbft/cometbft/evidence"
	"github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/libs/protoio"
	"github.com/cometbft/cometbft/mempool"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/p2p/conn"
	"github.com/cometbft/cometbft/p2p/pex"
	pbp2p "github.com/cometbft/cometbft/proto/tendermint/p2p"
	"github.com/cometbft/cometbft/statesync"
	"github.com/cometbft/cometbft/types"
	"github.com/cometbft/cometbft/version"
)

const (
	handshakePatience = 5 * time.Second
	// How long a peer may take to hang up on what it was sent.
	hangUpPatience = 300 * time.Millisecond
	// The pause between two connections to a peer.
	garbageEvery = 100 * time.Millisecond
)

var channels = []byte{
	bc.BlocksyncChannel,
	consensus.StateChannel, consensus.DataChannel, consensus.VoteChannel, consensus.VoteSetBitsChannel,
	mempool.MempoolChannel,
	evidence.EvidenceChannel,
	statesync.SnapshotChannel, statesync.ChunkChannel,
	pex.PexChannel,
}

// vandal connects to peers as a node and sends them what no node sends.
type vandal struct {
	config  *cfg.Config
	nodeKey *p2p.NodeKey
	chainID string
	logger  log.Logger
}

// sendGarbage sends garbage to the node's peers, to those that dial it too, until the process ends.
func sendGarbage(config *cfg.Config, nodeKey *p2p.NodeKey, logger log.Logger) error {
	genesis, err := types.GenesisDocFromFile(config.GenesisFile())
	if err != nil {
		return err
	}
	_, address, _ := strings.Cut(config.P2P.ListenAddress, "://")
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	v := &vandal{config, nodeKey, genesis.ChainID, logger.With("module", "byzantine")}
	for _, peer := range strings.Split(config.P2P.PersistentPeers, ",") {
		if _, address, ok := strings.Cut(strings.TrimSpace(peer), "@"); ok {
			go v.dial(address)
		}
	}
	for kind := 0; ; kind++ {
		socket, err := listener.Accept()
		if err != nil {
			return err
		}
		go v.talk(socket, kind)
	}
}

// dial sends one kind of garbage after the other.
func (v *vandal) dial(address string) {
	for kind := 0; ; kind++ {
		if socket, err := net.DialTimeout("tcp", address, handshakePatience); err == nil {
			v.talk(socket, kind)
		}
		time.Sleep(garbageEvery)
	}
}

func (v *vandal) talk(socket net.Conn, kind int) {
	defer socket.Close()
	_ = socket.SetDeadline(time.Now().Add(handshakePatience))
	// Now and then it is not even a handshake.
	if kind%10 == 9 {
		_, _ = socket.Write(noise(4096))
		return
	}
	secret, err := conn.MakeSecretConnection(socket, v.nodeKey.PrivKey)
	if err != nil {
		return
	}
	if err := v.introduce(secret); err != nil {
		return
	}
	what, bytes := v.garbage(kind)
	_, err = secret.Write(bytes)
	v.logger.Error("sent garbage", "what", what, "to", socket.RemoteAddr(), "err", err)
	// It is over when the peer hangs up; what it says meanwhile is thrown away.
	_ = socket.SetDeadline(time.Now().Add(hangUpPatience))
	for buffer := make([]byte, 64<<10); err == nil; {
		_, err = secret.Read(buffer)
	}
}

// introduce exchanges what nodes say of themselves.
func (v *vandal) introduce(secret *conn.SecretConnection) error {
	info := p2p.DefaultNodeInfo{
		ProtocolVersion: p2p.NewProtocolVersion(version.P2PProtocol, version.BlockProtocol, 1),
		DefaultNodeID:   v.nodeKey.ID(),
		ListenAddr:      v.config.P2P.ListenAddress,
		Network:         v.chainID,
		Version:         version.TMCoreSemVer,
		Channels:        channels,
		Moniker:         v.config.Moniker,
		Other:           p2p.DefaultNodeInfoOther{TxIndex: "off", RPCAddress: v.config.RPC.ListenAddress},
	}
	if _, err := protoio.NewDelimitedWriter(secret).WriteMsg(info.ToProto()); err != nil {
		return err
	}
	var theirs pbp2p.DefaultNodeInfo
	_, err := protoio.NewDelimitedReader(secret, p2p.MaxNodeInfoSize()).ReadMsg(&theirs)
	return err
}

// garbage makes one kind of garbage after the other: of packets, of messages in them, and of lies in these.
func (v *vandal) garbage(kind int) (string, []byte) {
	channel := channels[rand.IntN(len(channels))]
	switch kind % 5 {
	case 0:
		return "random messages on each channel", packets(func(channel byte) []byte { return noise(1 + rand.IntN(2000)) })
	case 1:
		lie := lies()[rand.IntN(len(lies()))]
		return lie.what, packet(lie.channel, marshal(lie.message), true)
	case 2:
		lie := lies()[rand.IntN(len(lies()))]
		return "damaged: " + lie.what, packet(lie.channel, damaged(marshal(lie.message)), true)
	case 3:
		return "a message without end", endless(channel)
	default:
		return frame()
	}
}

// packets is a message of each channel's, one after the other.
func packets(message func(channel byte) []byte) []byte {
	var all []byte
	for _, index := range rand.Perm(len(channels)) {
		all = append(all, packet(channels[index], message(channels[index]), true)...)
	}
	return all
}

// frame is what is no packet: noise, a length beyond all bounds, a channel that is not there, a packet without a message.
func frame() (string, []byte) {
	switch rand.IntN(4) {
	case 0:
		return "noise instead of packets", noise(2000)
	case 1:
		return "a packet of 4 GiB", append([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, noise(1000)...)
	case 2:
		return "a message on a channel that is not there", packet(0x99, noise(10), true)
	default:
		return "a packet without a message", delimited(&pbp2p.Packet{})
	}
}

// endless is more of one message than any channel takes.
func endless(channel byte) []byte {
	var all []byte
	for range 17 << 10 {
		all = append(all, packet(channel, make([]byte, 1000), false)...)
	}
	return all
}

func packet(channel byte, data []byte, eof bool) []byte {
	message := &pbp2p.PacketMsg{ChannelID: int32(channel), EOF: eof, Data: data}
	return delimited(&pbp2p.Packet{Sum: &pbp2p.Packet_PacketMsg{PacketMsg: message}})
}

func noise(length int) []byte {
	bytes := make([]byte, length)
	for i := range bytes {
		bytes[i] = byte(rand.Uint32())
	}
	return bytes
}

// damaged changes some bytes of a message, or cuts it.
func damaged(message []byte) []byte {
	if len(message) == 0 {
		return noise(10)
	}
	for range 1 + rand.IntN(4) {
		message[rand.IntN(len(message))] = byte(rand.Uint32())
	}
	return message[:1+rand.IntN(len(message))]
}
