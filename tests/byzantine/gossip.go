package main

import (
	"github.com/cometbft/cometbft/consensus"
	"github.com/cometbft/cometbft/p2p"
	pb "github.com/cometbft/cometbft/proto/tendermint/consensus"
)

// reactor is the real reactor of consensus, whose words to its peers pass through a liar.
type reactor struct {
	*consensus.Reactor
	liar *liar
}

// InitPeer hands the real reactor, and all others, a peer whose messages may be changed. What a peer sends still comes from
// the real one, which shares its data.
func (r *reactor) InitPeer(peer p2p.Peer) p2p.Peer {
	return r.Reactor.InitPeer(&toldPeer{peer, r.liar})
}

// toldPeer is a peer that is told what the liar makes of a message.
type toldPeer struct {
	p2p.Peer
	liar *liar
}

func (p *toldPeer) Send(e p2p.Envelope) bool    { return p.tell(e, p.Peer.Send) }
func (p *toldPeer) TrySend(e p2p.Envelope) bool { return p.tell(e, p.Peer.TrySend) }

func (p *toldPeer) tell(e p2p.Envelope, send func(p2p.Envelope) bool) bool {
	for _, told := range p.liar.instead(p.ID(), e) {
		if !send(told) {
			return false
		}
	}
	return true
}

// instead answers what is sent to a peer instead of a message.
func (l *liar) instead(peer p2p.ID, e p2p.Envelope) []p2p.Envelope {
	switch {
	case l.asked.is(withhold) && (e.ChannelID == consensus.DataChannel || e.ChannelID == consensus.VoteChannel):
		return nil
	case l.asked.is(doubleVote):
		if vote, ok := e.Message.(*pb.Vote); ok && l.isOwn(vote.Vote) {
			return []p2p.Envelope{e, envelope(consensus.VoteChannel, &pb.Vote{Vote: l.otherVote(vote.Vote)})}
		}
	case l.asked.is(equivocate), l.asked.is(forge):
		switch message := e.Message.(type) {
		case *pb.Proposal:
			return l.otherProposal(peer, e, &message.Proposal)
		case *pb.BlockPart:
			if l.number(peer, place{message.Height, message.Round}) > 0 {
				return nil
			}
		case *pb.Vote:
			if l.isOwn(message.Vote) && !l.asked.is(forge) {
				return l.otherBlocksVote(peer, e, message.Vote)
			}
		}
	}
	return []p2p.Envelope{e}
}
