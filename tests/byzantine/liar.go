package main

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cosmos/gogoproto/proto"

	"github.com/cometbft/cometbft/consensus"
	cstypes "github.com/cometbft/cometbft/consensus/types"
	"github.com/cometbft/cometbft/crypto"
	"github.com/cometbft/cometbft/crypto/tmhash"
	"github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/p2p"
	pb "github.com/cometbft/cometbft/proto/tendermint/consensus"
	pbtypes "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"
)

// How long a proposal waits for the block that the node itself proposes.
const blockPatience = time.Second

// liar signs what a validator must not sign, with its key and without the record of what it signed.
type liar struct {
	asked   *asked
	state   *consensus.State
	key     crypto.PrivKey
	address crypto.Address
	chainID string
	logger  log.Logger

	mutex sync.Mutex
	// The variants of this node's own block where it last proposed one; the first is what the node itself proposed.
	blocks map[place][]variant
	// Which peers are told of them, in the order in which they first were.
	peers map[place][]p2p.ID
	// The other vote for each vote, by what the vote was for.
	votes map[string]*pbtypes.Vote
}

// place is where one block is proposed.
type place struct {
	height int64
	round  int32
}

// variant is one of several blocks that are proposed at one place.
type variant struct {
	id       types.BlockID
	parts    *types.PartSet
	proposal *types.Proposal
}

func newLiar(asked *asked, state *consensus.State, key crypto.PrivKey, chainID string, logger log.Logger) *liar {
	return &liar{
		asked:   asked,
		state:   state,
		key:     key,
		address: key.PubKey().Address(),
		chainID: chainID,
		logger:  logger,
		peers:   map[place][]p2p.ID{},
		blocks:  map[place][]variant{},
		votes:   map[string]*pbtypes.Vote{},
	}
}

func envelope(channel byte, message proto.Message) p2p.Envelope {
	return p2p.Envelope{ChannelID: channel, Message: message}
}

func (l *liar) isOwn(vote *pbtypes.Vote) bool {
	return slices.Equal(vote.ValidatorAddress, l.address)
}

// sign signs a vote, whatever was signed before.
func (l *liar) sign(vote *pbtypes.Vote) *pbtypes.Vote {
	signature, err := l.key.Sign(types.VoteSignBytes(l.chainID, vote))
	if err != nil {
		panic(err)
	}
	vote.Signature = signature
	return vote
}

// otherVote is a vote at the same place for no block, or for one that does not exist if the vote was for none: the same
// one each time.
func (l *liar) otherVote(vote *pbtypes.Vote) *pbtypes.Vote {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	key := fmt.Sprint(vote.Height, vote.Round, vote.Type, vote.BlockID.Hash)
	if other, ok := l.votes[key]; ok {
		return other
	}
	other := *vote
	other.BlockID = pbtypes.BlockID{}
	if len(vote.BlockID.Hash) == 0 {
		hash := tmhash.Sum([]byte(key))
		other.BlockID = pbtypes.BlockID{Hash: hash, PartSetHeader: pbtypes.PartSetHeader{Total: 1, Hash: hash}}
	}
	l.votes[key] = l.sign(&other)
	l.logger.Error("signed twice", "height", vote.Height, "round", vote.Round, "type", vote.Type)
	return &other
}

// number says which variant a peer gets at a place. All get the same one if it is in the name of another validator. Else, at every other height three peers get different ones, and no block has a
// majority. At the others two of three get the same one: the node's own, or another.
func (l *liar) number(peer p2p.ID, at place) int {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if len(l.blocks[at]) == 0 {
		return 0
	}
	if l.asked.is(forge) {
		return 1
	}
	if !slices.Contains(l.peers[at], peer) {
		l.peers[at] = append(l.peers[at], peer)
	}
	variants := 2 + int(at.height%2)
	return (slices.Index(l.peers[at], peer) + int(at.height/2)) % variants
}

// otherProposal is the proposal of the variant that a peer gets, and all of its parts; every other proposal stays as it is.
func (l *liar) otherProposal(peer p2p.ID, e p2p.Envelope, proposal *pbtypes.Proposal) []p2p.Envelope {
	at := place{proposal.Height, proposal.Round}
	if !l.propose(at) {
		return []p2p.Envelope{e}
	}
	number := l.number(peer, at)
	if number == 0 {
		return []p2p.Envelope{e}
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	chosen := l.blocks[at][number]
	told := []p2p.Envelope{envelope(consensus.DataChannel, &pb.Proposal{Proposal: *chosen.proposal.ToProto()})}
	for index := range int(chosen.parts.Total()) {
		part, err := chosen.parts.GetPart(index).ToProto()
		if err != nil {
			panic(err)
		}
		told = append(told, envelope(consensus.DataChannel, &pb.BlockPart{Height: at.height, Round: at.round, Part: *part}))
	}
	return told
}

// otherBlocksVote is a vote for the variant that a peer has, if the vote is for this node's own block; and the vote itself, so
// that the peer can prove it.
func (l *liar) otherBlocksVote(peer p2p.ID, e p2p.Envelope, vote *pbtypes.Vote) []p2p.Envelope {
	at := place{vote.Height, vote.Round}
	number := l.number(peer, at)
	l.mutex.Lock()
	defer l.mutex.Unlock()
	blocks := l.blocks[at]
	if number == 0 || !slices.Equal(vote.BlockID.Hash, blocks[0].id.Hash) {
		return []p2p.Envelope{e}
	}
	other := *vote
	other.BlockID = blocks[number].id.ToProto()
	return []p2p.Envelope{envelope(consensus.VoteChannel, &pb.Vote{Vote: l.sign(&other)}), e}
}

// propose makes the variants of the block that this node proposes at a place; false: another node does.
func (l *liar) propose(at place) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if len(l.blocks[at]) > 0 {
		return true
	}
	for deadline := time.Now().Add(blockPatience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		now := l.state.GetRoundState()
		if now.Height != at.height || now.Round != at.round ||
			!slices.Equal(now.Validators.GetProposer().Address, l.address) {
			return false
		}
		if now.ProposalBlock == nil {
			continue
		}
		// A block that more than two thirds voted for is proposed again by whoever is next.
		if !slices.Equal(now.ProposalBlock.ProposerAddress, l.address) {
			return false
		}
		clear(l.peers)
		clear(l.blocks)
		l.blocks[at] = []variant{{id: types.BlockID{Hash: now.ProposalBlock.Hash(), PartSetHeader: now.ProposalBlockParts.Header()}}}
		for number := 1; number < 3; number++ {
			l.blocks[at] = append(l.blocks[at], l.variant(at, now, number))
		}
		if l.asked.is(forge) {
			l.logger.Error("proposed as another", "height", at.height, "round", at.round)
		} else {
			l.logger.Error("proposed different blocks", "height", at.height, "round", at.round)
		}
		return true
	}
	return false
}

// variant is a block like the node's own with one transaction more: a valid one, or one that the pipeline rejects and in the name
// of another validator.
func (l *liar) variant(at place, now *cstypes.RoundState, number int) variant {
	block := now.ProposalBlock
	tx := fmt.Appendf(nil, `{"byzantine":"block %d of height %d, round %d"}`, number, at.height, at.round)
	proposer := block.ProposerAddress
	if l.asked.is(forge) {
		tx = rejected
		for _, one := range now.Validators.Validators {
			if !slices.Equal(one.Address, l.address) {
				proposer = one.Address
			}
		}
	}
	txs := append(slices.Clone(block.Txs), tx)
	other := types.MakeBlock(block.Height, txs, block.LastCommit, block.Evidence.Evidence)
	dataHash := other.DataHash
	other.Header = block.Header
	other.DataHash = dataHash
	other.ProposerAddress = proposer
	parts, err := other.MakePartSet(types.BlockPartSizeBytes)
	if err != nil {
		panic(err)
	}
	id := types.BlockID{Hash: other.Hash(), PartSetHeader: parts.Header()}
	proposal := types.NewProposal(at.height, at.round, -1, id)
	signature, err := l.key.Sign(types.ProposalSignBytes(l.chainID, proposal.ToProto()))
	if err != nil {
		panic(err)
	}
	proposal.Signature = signature
	return variant{id, parts, proposal}
}
