package main

import (
	"math"
	"time"

	"github.com/cosmos/gogoproto/proto"

	bc "github.com/cometbft/cometbft/blocksync"
	"github.com/cometbft/cometbft/consensus"
	"github.com/cometbft/cometbft/evidence"
	"github.com/cometbft/cometbft/libs/bits"
	"github.com/cometbft/cometbft/libs/protoio"
	"github.com/cometbft/cometbft/mempool"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/p2p/pex"
	pbblocksync "github.com/cometbft/cometbft/proto/tendermint/blocksync"
	pbcons "github.com/cometbft/cometbft/proto/tendermint/consensus"
	pbmempool "github.com/cometbft/cometbft/proto/tendermint/mempool"
	pbp2p "github.com/cometbft/cometbft/proto/tendermint/p2p"
	pbstatesync "github.com/cometbft/cometbft/proto/tendermint/statesync"
	pbtypes "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/statesync"
)

// lie is a message in the right form with a content that no node sends.
type lie struct {
	what    string
	channel byte
	message proto.Message
}

// lies are those that a node might believe, or fail at.
func lies() []lie {
	hash := noise(32)
	id := pbtypes.BlockID{Hash: hash, PartSetHeader: pbtypes.PartSetHeader{Total: math.MaxUint32, Hash: hash}}
	vote := &pbtypes.Vote{
		Type: pbtypes.PrecommitType, Height: 1, BlockID: id, Timestamp: time.Now(),
		ValidatorAddress: noise(20), ValidatorIndex: math.MaxInt32, Signature: noise(64),
	}
	bitArray := *bits.NewBitArray(10_000).ToProto()
	header := pbtypes.Header{ChainID: "another", Height: 5, Time: time.Now(), ProposerAddress: noise(20)}
	block := &pbtypes.Block{Header: header, LastCommit: &pbtypes.Commit{Height: 4, BlockID: id}}
	part := pbtypes.Part{Index: 7, Bytes: noise(1000)}
	return []lie{
		{"a false snapshot", statesync.SnapshotChannel, &pbstatesync.SnapshotsResponse{Height: 1 << 40, Format: 9, Chunks: 5, Hash: hash, Metadata: noise(1000)}},
		{"a snapshot of too many chunks", statesync.SnapshotChannel, &pbstatesync.SnapshotsResponse{Height: 1, Chunks: math.MaxUint32, Hash: hash}},
		{"a snapshot of nothing", statesync.SnapshotChannel, &pbstatesync.SnapshotsResponse{}},
		{"a request for snapshots", statesync.SnapshotChannel, &pbstatesync.SnapshotsRequest{}},
		{"a false chunk", statesync.ChunkChannel, &pbstatesync.ChunkResponse{Height: 1, Format: 1, Index: 9, Chunk: noise(100_000)}},
		{"a chunk that is missing and there", statesync.ChunkChannel, &pbstatesync.ChunkResponse{Height: 1, Missing: true, Chunk: hash}},
		{"a request for a chunk of no snapshot", statesync.ChunkChannel, &pbstatesync.ChunkRequest{Height: 1 << 60, Format: 1, Index: math.MaxUint32}},
		{"a height that no node has", bc.BlocksyncChannel, &pbblocksync.StatusResponse{Height: math.MaxInt64, Base: 1}},
		{"a negative height", bc.BlocksyncChannel, &pbblocksync.StatusResponse{Height: -1, Base: -7}},
		{"a false block", bc.BlocksyncChannel, &pbblocksync.BlockResponse{Block: block}},
		{"no block", bc.BlocksyncChannel, &pbblocksync.BlockResponse{}},
		{"a request for a block to come", bc.BlocksyncChannel, &pbblocksync.BlockRequest{Height: math.MaxInt64}},
		{"a round that nobody is in", consensus.StateChannel, &pbcons.NewRoundStep{Height: math.MaxInt64, Round: math.MaxInt32, Step: 1, LastCommitRound: 1}},
		{"a step that is none", consensus.StateChannel, &pbcons.NewRoundStep{Height: 1, Round: -1, Step: 99}},
		{"a vote of a validator that is none", consensus.StateChannel, &pbcons.HasVote{Height: 1, Type: pbtypes.PrevoteType, Index: math.MaxInt32}},
		{"a majority that is none", consensus.StateChannel, &pbcons.VoteSetMaj23{Height: 1, Type: pbtypes.PrecommitType, BlockID: id}},
		{"a valid block that is none", consensus.StateChannel, &pbcons.NewValidBlock{Height: 1, BlockPartSetHeader: id.PartSetHeader, BlockParts: &bitArray}},
		{"a proposal of too many parts", consensus.DataChannel, &pbcons.Proposal{Proposal: pbtypes.Proposal{Type: pbtypes.ProposalType, Height: 1, PolRound: -1, BlockID: id, Timestamp: time.Now(), Signature: noise(64)}}},
		{"votes for a proposal that is none", consensus.DataChannel, &pbcons.ProposalPOL{Height: 1, ProposalPolRound: math.MaxInt32, ProposalPol: bitArray}},
		{"a part without a proof", consensus.DataChannel, &pbcons.BlockPart{Height: 1, Part: part}},
		{"a vote with a false signature", consensus.VoteChannel, &pbcons.Vote{Vote: vote}},
		{"no vote", consensus.VoteChannel, &pbcons.Vote{}},
		{"votes that nobody cast", consensus.VoteSetBitsChannel, &pbcons.VoteSetBits{Height: 1, Type: pbtypes.PrevoteType, BlockID: id, Votes: bitArray}},
		{"an empty list of transactions", mempool.MempoolChannel, &pbmempool.Txs{}},
		{"transactions that are rejected", mempool.MempoolChannel, &pbmempool.Txs{Txs: [][]byte{rejected, {}, noise(10_000)}}},
		{"false evidence", evidence.EvidenceChannel, &pbtypes.EvidenceList{Evidence: []pbtypes.Evidence{{Sum: &pbtypes.Evidence_DuplicateVoteEvidence{DuplicateVoteEvidence: &pbtypes.DuplicateVoteEvidence{VoteA: vote, VoteB: vote, TotalVotingPower: 40, ValidatorPower: 10, Timestamp: time.Now()}}}}}},
		{"no evidence", evidence.EvidenceChannel, &pbtypes.EvidenceList{Evidence: []pbtypes.Evidence{{}}}},
		{"addresses that nobody asked for", pex.PexChannel, &pbp2p.PexAddrs{Addrs: []pbp2p.NetAddress{{ID: "x", IP: "256.0.0.1", Port: 99_999}}}},
	}
}

// marshal puts a message into the form in which its channel carries it.
func marshal(message proto.Message) []byte {
	if wrapper, ok := message.(p2p.Wrapper); ok {
		message = wrapper.Wrap()
	}
	bytes, err := proto.Marshal(message)
	if err != nil {
		panic(err)
	}
	return bytes
}

// delimited puts the length of a message before it, as all messages go over a connection.
func delimited(message proto.Message) []byte {
	bytes, err := protoio.MarshalDelimited(message)
	if err != nil {
		panic(err)
	}
	return bytes
}
