package backup

import (
	"context"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	ocibackupv1 "github.com/oci-backup-gateway/oci-backup-gateway/examples/clients/go/gen/ocibackup/v1"
)

// The keys of an answer's metadata.
const (
	RequestIDKey  = "opc-request-id"
	RetryTokenKey = "opc-retry-token"
)

// Client makes backups. Each wanted backup has a retry token of its own, chosen and stored before the first call and
// kept until the outcome is known: however often the call is then repeated, by the library, by the caller or after a
// crash, there is one backup. Without a token nothing is sent: the library repeats a call by itself, and each of its
// tries would make a backup of its own.
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
	var response Response
	token := SentToken(ctx, request)
	if token == "" {
		return response, nil, Explain(withoutToken(), nil, "")
	}
	var header, trailer metadata.MD
	response, err := rpc(ctx, request, grpc.Header(&header), grpc.Trailer(&trailer))
	if err != nil {
		return response, nil, Explain(err, trailer, token)
	}
	return response, header, nil
}

// SentToken is the retry token that a call is sent with: the request's, or that of the context's metadata.
func SentToken(ctx context.Context, request interface{ GetRetryToken() string }) string {
	if token := request.GetRetryToken(); token != "" {
		return token
	}
	sent, _ := metadata.FromOutgoingContext(ctx)
	return First(sent, RetryTokenKey)
}

func withoutToken() error {
	wrong := &errdetails.BadRequest_FieldViolation{
		Field:       "retry_token",
		Description: "choose and store one for each wanted backup before the first call",
	}
	refused := status.New(codes.InvalidArgument, "a create without a retry token is not sent")
	if detailed, err := refused.WithDetails(&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{wrong}}); err == nil {
		refused = detailed
	}
	return refused.Err()
}

// First is the value of a key, or nothing.
func First(md metadata.MD, key string) string {
	if values := md.Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}
