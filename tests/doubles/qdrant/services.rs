//! The three services of Qdrant's protocol. Every method goes through [`Double::call`], which counts it and plays the faults; what
//! Baton does not use answers UNIMPLEMENTED, so that a new use is noticed.

use ::qdrant_client::qdrant as q;
use tonic::{Request, Response, Status};

use super::Double;

type Answer<T> = Result<Response<T>, Status>;

fn unused<T>(method: &str) -> Answer<T> {
    Err(Status::unimplemented(format!("the double does not know {method}")))
}

#[tonic::async_trait]
impl q::points_server::Points for Double {
    async fn upsert(
        &self,
        request: Request<q::UpsertPoints>,
    ) -> Answer<q::PointsOperationResponse> {
        self.call("upsert", |store| store.upsert(request.into_inner())).await
    }
    async fn delete(
        &self,
        request: Request<q::DeletePoints>,
    ) -> Answer<q::PointsOperationResponse> {
        self.call("delete", |store| store.delete(request.into_inner())).await
    }
    async fn get(&self, request: Request<q::GetPoints>) -> Answer<q::GetResponse> {
        self.call("get", |store| store.get(request.into_inner())).await
    }
    async fn update_vectors(
        &self,
        _: Request<q::UpdatePointVectors>,
    ) -> Answer<q::PointsOperationResponse> {
        unused("Points.update_vectors")
    }
    async fn delete_vectors(
        &self,
        _: Request<q::DeletePointVectors>,
    ) -> Answer<q::PointsOperationResponse> {
        unused("Points.delete_vectors")
    }
    async fn set_payload(
        &self,
        _: Request<q::SetPayloadPoints>,
    ) -> Answer<q::PointsOperationResponse> {
        unused("Points.set_payload")
    }
    async fn overwrite_payload(
        &self,
        _: Request<q::SetPayloadPoints>,
    ) -> Answer<q::PointsOperationResponse> {
        unused("Points.overwrite_payload")
    }
    async fn delete_payload(
        &self,
        _: Request<q::DeletePayloadPoints>,
    ) -> Answer<q::PointsOperationResponse> {
        unused("Points.delete_payload")
    }
    async fn clear_payload(
        &self,
        _: Request<q::ClearPayloadPoints>,
    ) -> Answer<q::PointsOperationResponse> {
        unused("Points.clear_payload")
    }
    async fn create_field_index(
        &self,
        request: Request<q::CreateFieldIndexCollection>,
    ) -> Answer<q::PointsOperationResponse> {
        self.call("create_field_index", |store| store.create_field_index(request.into_inner()))
            .await
    }
    async fn delete_field_index(
        &self,
        _: Request<q::DeleteFieldIndexCollection>,
    ) -> Answer<q::PointsOperationResponse> {
        unused("Points.delete_field_index")
    }
    async fn create_vector_name(
        &self,
        _: Request<q::CreateVectorNameRequest>,
    ) -> Answer<q::PointsOperationResponse> {
        unused("Points.create_vector_name")
    }
    async fn delete_vector_name(
        &self,
        _: Request<q::DeleteVectorNameRequest>,
    ) -> Answer<q::PointsOperationResponse> {
        unused("Points.delete_vector_name")
    }
    async fn search(&self, _: Request<q::SearchPoints>) -> Answer<q::SearchResponse> {
        unused("Points.search")
    }
    async fn search_batch(
        &self,
        _: Request<q::SearchBatchPoints>,
    ) -> Answer<q::SearchBatchResponse> {
        unused("Points.search_batch")
    }
    async fn search_groups(
        &self,
        _: Request<q::SearchPointGroups>,
    ) -> Answer<q::SearchGroupsResponse> {
        unused("Points.search_groups")
    }
    async fn scroll(&self, request: Request<q::ScrollPoints>) -> Answer<q::ScrollResponse> {
        self.call("scroll", |store| store.scroll(request.into_inner())).await
    }
    async fn recommend(&self, _: Request<q::RecommendPoints>) -> Answer<q::RecommendResponse> {
        unused("Points.recommend")
    }
    async fn recommend_batch(
        &self,
        _: Request<q::RecommendBatchPoints>,
    ) -> Answer<q::RecommendBatchResponse> {
        unused("Points.recommend_batch")
    }
    async fn recommend_groups(
        &self,
        _: Request<q::RecommendPointGroups>,
    ) -> Answer<q::RecommendGroupsResponse> {
        unused("Points.recommend_groups")
    }
    async fn discover(&self, _: Request<q::DiscoverPoints>) -> Answer<q::DiscoverResponse> {
        unused("Points.discover")
    }
    async fn discover_batch(
        &self,
        _: Request<q::DiscoverBatchPoints>,
    ) -> Answer<q::DiscoverBatchResponse> {
        unused("Points.discover_batch")
    }
    async fn count(&self, request: Request<q::CountPoints>) -> Answer<q::CountResponse> {
        self.call("count", |store| store.count(request.into_inner())).await
    }
    async fn update_batch(
        &self,
        _: Request<q::UpdateBatchPoints>,
    ) -> Answer<q::UpdateBatchResponse> {
        unused("Points.update_batch")
    }
    async fn query(&self, _: Request<q::QueryPoints>) -> Answer<q::QueryResponse> {
        unused("Points.query")
    }
    async fn query_batch(
        &self,
        request: Request<q::QueryBatchPoints>,
    ) -> Answer<q::QueryBatchResponse> {
        self.call("query_batch", |store| store.query_batch(request.into_inner())).await
    }
    async fn query_groups(
        &self,
        _: Request<q::QueryPointGroups>,
    ) -> Answer<q::QueryGroupsResponse> {
        unused("Points.query_groups")
    }
    async fn facet(&self, _: Request<q::FacetCounts>) -> Answer<q::FacetResponse> {
        unused("Points.facet")
    }
    async fn search_matrix_pairs(
        &self,
        _: Request<q::SearchMatrixPoints>,
    ) -> Answer<q::SearchMatrixPairsResponse> {
        unused("Points.search_matrix_pairs")
    }
    async fn search_matrix_offsets(
        &self,
        _: Request<q::SearchMatrixPoints>,
    ) -> Answer<q::SearchMatrixOffsetsResponse> {
        unused("Points.search_matrix_offsets")
    }
}

#[tonic::async_trait]
impl q::collections_server::Collections for Double {
    async fn get(
        &self,
        request: Request<q::GetCollectionInfoRequest>,
    ) -> Answer<q::GetCollectionInfoResponse> {
        self.call("collection", |store| store.collection(request.into_inner())).await
    }
    async fn list(
        &self,
        request: Request<q::ListCollectionsRequest>,
    ) -> Answer<q::ListCollectionsResponse> {
        self.call("collections", |store| store.collections(request.into_inner())).await
    }
    async fn create(
        &self,
        request: Request<q::CreateCollection>,
    ) -> Answer<q::CollectionOperationResponse> {
        self.call("create_collection", |store| store.create_collection(request.into_inner())).await
    }
    async fn update(
        &self,
        _: Request<q::UpdateCollection>,
    ) -> Answer<q::CollectionOperationResponse> {
        unused("Collections.update")
    }
    async fn delete(
        &self,
        request: Request<q::DeleteCollection>,
    ) -> Answer<q::CollectionOperationResponse> {
        self.call("delete_collection", |store| store.delete_collection(request.into_inner())).await
    }
    async fn update_aliases(
        &self,
        _: Request<q::ChangeAliases>,
    ) -> Answer<q::CollectionOperationResponse> {
        unused("Collections.update_aliases")
    }
    async fn list_collection_aliases(
        &self,
        _: Request<q::ListCollectionAliasesRequest>,
    ) -> Answer<q::ListAliasesResponse> {
        unused("Collections.list_collection_aliases")
    }
    async fn list_aliases(
        &self,
        _: Request<q::ListAliasesRequest>,
    ) -> Answer<q::ListAliasesResponse> {
        unused("Collections.list_aliases")
    }
    async fn collection_cluster_info(
        &self,
        _: Request<q::CollectionClusterInfoRequest>,
    ) -> Answer<q::CollectionClusterInfoResponse> {
        unused("Collections.collection_cluster_info")
    }
    async fn collection_exists(
        &self,
        request: Request<q::CollectionExistsRequest>,
    ) -> Answer<q::CollectionExistsResponse> {
        self.call("collection_exists", |store| store.collection_exists(request.into_inner())).await
    }
    async fn update_collection_cluster_setup(
        &self,
        _: Request<q::UpdateCollectionClusterSetupRequest>,
    ) -> Answer<q::UpdateCollectionClusterSetupResponse> {
        unused("Collections.update_collection_cluster_setup")
    }
    async fn create_shard_key(
        &self,
        _: Request<q::CreateShardKeyRequest>,
    ) -> Answer<q::CreateShardKeyResponse> {
        unused("Collections.create_shard_key")
    }
    async fn delete_shard_key(
        &self,
        _: Request<q::DeleteShardKeyRequest>,
    ) -> Answer<q::DeleteShardKeyResponse> {
        unused("Collections.delete_shard_key")
    }
    async fn list_shard_keys(
        &self,
        _: Request<q::ListShardKeysRequest>,
    ) -> Answer<q::ListShardKeysResponse> {
        unused("Collections.list_shard_keys")
    }
}

#[tonic::async_trait]
impl q::qdrant_server::Qdrant for Double {
    async fn health_check(
        &self,
        request: Request<q::HealthCheckRequest>,
    ) -> Answer<q::HealthCheckReply> {
        self.call("health", |store| store.health(request.into_inner())).await
    }
}
