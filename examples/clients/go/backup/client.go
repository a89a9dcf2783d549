package backup

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	ocibackupv1 "github.com/oci-backup-gateway/oci-backup-gateway/examples/clients/go/gen/ocibackup/v1"
)

// The keys of an answer's metadata.
const (
	RequestIDKey  = "opc-request-id"
	RetryTokenKey = "opc-retry-token"
)

// Client makes backups. Each wanted backup has a retry token of its own, chosen and stored before the first call and
// kept until the outcome is known: however often the call is then repeated, by the library, by the caller or after a
// crash, there is one backup.
//
// The context's deadline holds, and so does the service config's 30 s. An error is always a *Failure.
type Client struct {
	service ocibackupv1.BackupServiceClient
}

// NewClient makes a client of the channel.
func NewClient(channel grpc.ClientConnInterface) *Client {
	return &Client{service: ocibackupv1.NewBackupServiceClient(channel)}
}

// CreateVolumeBackup starts a backup of a volume. The metadata of the answer has the opc-request-id.
func (c *Client) CreateVolumeBackup(ctx context.Context, request *ocibackupv1.CreateVolumeBackupRequest) (*ocibackupv1.CreateVolumeBackupResponse, metadata.MD, error) {
	return create(ctx, c.service.CreateVolumeBackup, request)
}

// CreateBootVolumeBackup starts a backup of a boot volume. The metadata of the answer has the opc-request-id.
func (c *Client) CreateBootVolumeBackup(ctx context.Context, request *ocibackupv1.CreateBootVolumeBackupRequest) (*ocibackupv1.CreateBootVolumeBackupResponse, metadata.MD, error) {
	return create(ctx, c.service.CreateBootVolumeBackup, request)
}

// On success the gateway's metadata comes before the answer, on failure behind it.
func create[Request interface{ GetRetryToken() string }, Response any](
	ctx context.Context,
	rpc func(context.Context, Request, ...grpc.CallOption) (Response, error),
	request Request,
) (Response, metadata.MD, error) {
	var header, trailer metadata.MD
	response, err := rpc(ctx, request, grpc.Header(&header), grpc.Trailer(&trailer))
	if err != nil {
		return response, nil, Explain(err, trailer, request.GetRetryToken())
	}
	return response, header, nil
}

// First is the value of a key, or nothing.
func First(md metadata.MD, key string) string {
	if values := md.Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}
