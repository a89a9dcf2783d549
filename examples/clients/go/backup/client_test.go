package backup

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	ocibackupv1 "github.com/oci-backup-gateway/oci-backup-gateway/examples/clients/go/gen/ocibackup/v1"
)

// A channel that counts calls and fails them.
type failing struct {
	grpc.ClientConnInterface
	calls int
}

func (f *failing) Invoke(context.Context, string, any, any, ...grpc.CallOption) error {
	f.calls++
	return status.Error(codes.Unavailable, "nobody is there")
}

func TestACreateWithoutATokenIsNotSent(t *testing.T) {
	channel := &failing{}
	client := NewClient(channel)
	_, _, volume := client.CreateVolumeBackup(t.Context(), &ocibackupv1.CreateVolumeBackupRequest{VolumeId: "one"})
	_, _, boot := client.CreateBootVolumeBackup(t.Context(), &ocibackupv1.CreateBootVolumeBackupRequest{RetryToken: proto.String("")})
	for _, err := range []error{volume, boot} {
		var failure *Failure
		if !errors.As(err, &failure) || failure.Code != codes.InvalidArgument || failure.Decision != Stop {
			t.Errorf("the answer was %v", err)
		}
	}
	if channel.calls != 0 {
		t.Errorf("%d calls were sent", channel.calls)
	}
}

func TestATokenInMetadataIsAToken(t *testing.T) {
	channel := &failing{}
	ctx := metadata.AppendToOutgoingContext(t.Context(), RetryTokenKey, "mine")
	_, _, err := NewClient(channel).CreateVolumeBackup(ctx, &ocibackupv1.CreateVolumeBackupRequest{VolumeId: "one"})
	const wanted = "UNAVAILABLE: nobody is there; no answer of a gateway came, so the backup may have been made; " +
		"repeat with the retry token mine in 1000 ms"
	if channel.calls != 1 || err == nil || err.Error() != wanted {
		t.Errorf("%d calls were sent; the answer was %v", channel.calls, err)
	}
}
