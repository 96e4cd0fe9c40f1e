//! What the double holds, and what each call does to it.

#![allow(clippy::needless_pass_by_value, reason = "every call takes its request")]

use std::collections::{BTreeMap, HashMap};

use ::qdrant_client::qdrant as q;
use q::condition::ConditionOneOf;
use q::r#match::MatchValue;
use q::point_id::PointIdOptions;
use q::points_selector::PointsSelectorOneOf;
use q::value::Kind;
use tonic::Status;

type Done<T> = Result<T, Status>;

/// All collections by name.
#[derive(Debug, Default)]
pub struct Store {
    pub collections: BTreeMap<String, Collection>,
}

/// One collection with a single named dense vector.
#[derive(Debug)]
pub struct Collection {
    pub params: HashMap<String, q::VectorParams>,
    pub indexes: BTreeMap<String, q::CreateFieldIndexCollection>,
    pub points: BTreeMap<String, Point>,
}

#[derive(Debug, Clone)]
pub struct Point {
    pub vectors: HashMap<String, Vec<f32>>,
    pub payload: HashMap<String, q::Value>,
}

fn invalid<T>(what: impl Into<String>) -> Done<T> {
    Err(Status::invalid_argument(what))
}

impl Store {
    fn named(&mut self, name: &str) -> Done<&mut Collection> {
        let missing =
            || Status::not_found(format!("Not found: Collection `{name}` doesn't exist!"));
        self.collections.get_mut(name).ok_or_else(missing)
    }

    pub fn health(&mut self, _: q::HealthCheckRequest) -> Done<q::HealthCheckReply> {
        let version = "1.20.0".to_owned();
        Ok(q::HealthCheckReply { title: "the double".to_owned(), version, commit: None })
    }

    pub fn collection_exists(
        &mut self,
        request: q::CollectionExistsRequest,
    ) -> Done<q::CollectionExistsResponse> {
        let exists = self.collections.contains_key(&request.collection_name);
        let result = Some(q::CollectionExists { exists });
        Ok(q::CollectionExistsResponse { result, time: 0.0 })
    }

    pub fn create_collection(
        &mut self,
        request: q::CreateCollection,
    ) -> Done<q::CollectionOperationResponse> {
        let name = request.collection_name;
        if self.collections.contains_key(&name) {
            let already = format!("Wrong input: Collection `{name}` already exists!");
            return Err(Status::already_exists(already));
        }
        let Some(q::vectors_config::Config::ParamsMap(params)) =
            request.vectors_config.and_then(|vectors| vectors.config)
        else {
            return invalid("the double wants named vectors");
        };
        let (params, points) = (params.map, BTreeMap::new());
        let collection = Collection { params, indexes: BTreeMap::new(), points };
        self.collections.insert(name, collection);
        Ok(q::CollectionOperationResponse { result: true, time: 0.0 })
    }

    pub fn delete_collection(
        &mut self,
        request: q::DeleteCollection,
    ) -> Done<q::CollectionOperationResponse> {
        let result = self.collections.remove(&request.collection_name).is_some();
        Ok(q::CollectionOperationResponse { result, time: 0.0 })
    }

    pub fn collections(
        &mut self,
        _: q::ListCollectionsRequest,
    ) -> Done<q::ListCollectionsResponse> {
        let described = |name: &String| q::CollectionDescription { name: name.clone() };
        let collections = self.collections.keys().map(described).collect();
        Ok(q::ListCollectionsResponse { collections, time: 0.0 })
    }

    pub fn collection(
        &mut self,
        request: q::GetCollectionInfoRequest,
    ) -> Done<q::GetCollectionInfoResponse> {
        let collection = self.named(&request.collection_name)?;
        let map = q::VectorParamsMap { map: collection.params.clone() };
        let vectors = q::VectorsConfig { config: Some(q::vectors_config::Config::ParamsMap(map)) };
        let params = q::CollectionParams { vectors_config: Some(vectors), ..Default::default() };
        let config = q::CollectionConfig { params: Some(params), ..Default::default() };
        let info = q::CollectionInfo {
            config: Some(config),
            points_count: Some(collection.points.len() as u64),
            ..Default::default()
        };
        Ok(q::GetCollectionInfoResponse { result: Some(info), time: 0.0 })
    }

    pub fn create_field_index(
        &mut self,
        request: q::CreateFieldIndexCollection,
    ) -> Done<q::PointsOperationResponse> {
        waited_for(request.wait)?;
        let collection = self.named(&request.collection_name)?;
        collection.indexes.insert(request.field_name.clone(), request);
        Ok(done())
    }

    pub fn upsert(&mut self, request: q::UpsertPoints) -> Done<q::PointsOperationResponse> {
        waited_for(request.wait)?;
        let collection = self.named(&request.collection_name)?;
        for point in request.points {
            let id = uuid(point.id.as_ref())?;
            let vectors = vectors(point.vectors, &collection.params)?;
            if let (Some(filter), Some(there)) =
                (&request.update_filter, collection.points.get(&id))
                && !matches(filter, &id, there)?
            {
                continue;
            }
            collection.points.insert(id, Point { vectors, payload: point.payload });
        }
        Ok(done())
    }

    pub fn delete(&mut self, request: q::DeletePoints) -> Done<q::PointsOperationResponse> {
        waited_for(request.wait)?;
        let collection = self.named(&request.collection_name)?;
        match request.points.and_then(|points| points.points_selector_one_of) {
            Some(PointsSelectorOneOf::Points(list)) => {
                for id in &list.ids {
                    collection.points.remove(&uuid(Some(id))?);
                }
            }
            Some(PointsSelectorOneOf::Filter(filter)) => {
                let mut gone = Vec::new();
                for (id, point) in &collection.points {
                    if matches(&filter, id, point)? {
                        gone.push(id.clone());
                    }
                }
                gone.iter().for_each(|id| drop(collection.points.remove(id)));
            }
            None => return invalid("nothing selected"),
        }
        Ok(done())
    }

    pub fn get(&mut self, request: q::GetPoints) -> Done<q::GetResponse> {
        let collection = self.named(&request.collection_name)?;
        let mut result = Vec::new();
        for id in &request.ids {
            if let Some(point) = collection.points.get(&uuid(Some(id))?) {
                let (id, payload) = (Some(id.clone()), point.payload.clone());
                result.push(q::RetrievedPoint { id, payload, ..Default::default() });
            }
        }
        Ok(q::GetResponse { result, ..Default::default() })
    }

    pub fn count(&mut self, request: q::CountPoints) -> Done<q::CountResponse> {
        let collection = self.named(&request.collection_name)?;
        let mut count = 0;
        for (id, point) in &collection.points {
            if request.filter.as_ref().map_or(Ok(true), |filter| matches(filter, id, point))? {
                count += 1;
            }
        }
        Ok(q::CountResponse { result: Some(q::CountResult { count }), ..Default::default() })
    }

    pub fn scroll(&mut self, request: q::ScrollPoints) -> Done<q::ScrollResponse> {
        let collection = self.named(&request.collection_name)?;
        let from =
            request.offset.as_ref().map(|id| uuid(Some(id))).transpose()?.unwrap_or_default();
        let filter = request.filter.unwrap_or_default();
        let mut result = Vec::new();
        let mut next_page_offset = None;
        for (id, point) in collection.points.range(from..) {
            if !matches(&filter, id, point)? {
                continue;
            }
            let id = Some(q::PointId::from(id.as_str()));
            if result.len() == request.limit.unwrap_or(10) as usize {
                next_page_offset = id;
                break;
            }
            result.push(q::RetrievedPoint { id, ..Default::default() });
        }
        Ok(q::ScrollResponse { next_page_offset, result, ..Default::default() })
    }

    pub fn query_batch(&mut self, request: q::QueryBatchPoints) -> Done<q::QueryBatchResponse> {
        let collection = self.named(&request.collection_name)?;
        let each = request.query_points.into_iter();
        let result = each.map(|query| collection.query(query)).collect::<Done<Vec<_>>>()?;
        Ok(q::QueryBatchResponse { result, ..Default::default() })
    }
}

impl Collection {
    fn query(&self, query: q::QueryPoints) -> Done<q::BatchResult> {
        let name = query.using.unwrap_or_default();
        let wanted = match query.query.and_then(|query| query.variant) {
            Some(q::query::Variant::Nearest(input)) => match input.variant {
                Some(q::vector_input::Variant::Dense(dense)) => dense.data,
                other => return invalid(format!("the double wants a dense vector, not {other:?}")),
            },
            other => return invalid(format!("the double only knows nearest, not {other:?}")),
        };
        fits(&name, wanted.len(), &self.params)?;
        let filter = query.filter.unwrap_or_default();
        let mut found = Vec::new();
        for (id, point) in &self.points {
            if let Some(dense) = point.vectors.get(&name)
                && matches(&filter, id, point)?
            {
                // One sum after the other: another order than ours, as on a real server.
                let score: f32 = dense.iter().zip(&wanted).map(|(a, b)| a * b).sum();
                found.push((score, id));
            }
        }
        // Equal scores come in an order that is not ours.
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| b.1.cmp(a.1)));
        let limit = usize::try_from(query.limit.unwrap_or(10)).unwrap_or(usize::MAX);
        let hit = |(score, id): (f32, &String)| q::ScoredPoint {
            id: Some(q::PointId::from(id.as_str())),
            score,
            ..Default::default()
        };
        Ok(q::BatchResult { result: found.into_iter().take(limit).map(hit).collect() })
    }
}

fn done() -> q::PointsOperationResponse {
    q::PointsOperationResponse::default()
}

/// A write that nobody waits for would be seen at some later time.
fn waited_for(wait: Option<bool>) -> Done<()> {
    if wait == Some(true) { Ok(()) } else { invalid("a write must be waited for") }
}

fn uuid(id: Option<&q::PointId>) -> Done<String> {
    match id.and_then(|id| id.point_id_options.as_ref()) {
        Some(PointIdOptions::Uuid(text)) => match uuid::Uuid::try_parse(text) {
            Ok(id) => Ok(id.to_string()),
            Err(_) => invalid(format!("Unable to parse UUID: {text}")),
        },
        other => invalid(format!("the double wants UUIDs, not {other:?}")),
    }
}

fn fits(name: &str, length: usize, params: &HashMap<String, q::VectorParams>) -> Done<()> {
    let Some(params) = params.get(name) else {
        return invalid(format!("Wrong input: Not existing vector name error: {name}"));
    };
    if params.size == length as u64 {
        return Ok(());
    }
    invalid(format!(
        "Wrong input: Vector dimension error: expected dim: {}, got {length}",
        params.size
    ))
}

fn vectors(
    given: Option<q::Vectors>,
    params: &HashMap<String, q::VectorParams>,
) -> Done<HashMap<String, Vec<f32>>> {
    let Some(q::vectors::VectorsOptions::Vectors(named)) =
        given.and_then(|vectors| vectors.vectors_options)
    else {
        return invalid("Expected some vectors");
    };
    let mut all = HashMap::new();
    for (name, vector) in named.vectors {
        let dense = match vector.vector {
            Some(q::vector::Vector::Dense(dense)) => dense.data,
            #[expect(deprecated, reason = "how clients before 1.16 sent it")]
            None => vector.data,
            other => return invalid(format!("the double wants dense vectors, not {other:?}")),
        };
        fits(&name, dense.len(), params)?;
        all.insert(name, dense);
    }
    Ok(all)
}

fn matches(filter: &q::Filter, id: &str, point: &Point) -> Done<bool> {
    for condition in &filter.must {
        if !holds(condition, id, point)? {
            return Ok(false);
        }
    }
    for condition in &filter.must_not {
        if holds(condition, id, point)? {
            return Ok(false);
        }
    }
    if filter.min_should.is_some() {
        return invalid("the double does not know min_should");
    }
    let mut any = filter.should.is_empty();
    for condition in &filter.should {
        any = any || holds(condition, id, point)?;
    }
    Ok(any)
}

fn holds(condition: &q::Condition, id: &str, point: &Point) -> Done<bool> {
    match &condition.condition_one_of {
        Some(ConditionOneOf::Filter(filter)) => matches(filter, id, point),
        Some(ConditionOneOf::HasId(those)) => {
            for one in &those.has_id {
                if uuid(Some(one))? == id {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Some(ConditionOneOf::Field(field)) => {
            let value = point.payload.get(&field.key).and_then(|value| value.kind.as_ref());
            if let Some(range) = &field.range {
                return Ok(value.is_some_and(|value| within(range, value)));
            }
            let wanted = field.r#match.as_ref().and_then(|wanted| wanted.match_value.as_ref());
            match (wanted, value) {
                (Some(MatchValue::Keyword(wanted)), value) => {
                    Ok(matches!(value, Some(Kind::StringValue(text)) if text == wanted))
                }
                (Some(MatchValue::Keywords(wanted)), value) => Ok(
                    matches!(value, Some(Kind::StringValue(text)) if wanted.strings.contains(text)),
                ),
                (other, _) => invalid(format!("the double does not know the match {other:?}")),
            }
        }
        other => invalid(format!("the double does not know the condition {other:?}")),
    }
}

#[expect(clippy::cast_precision_loss, reason = "small whole numbers")]
fn within(range: &q::Range, value: &Kind) -> bool {
    let value = match value {
        Kind::IntegerValue(value) => *value as f64,
        Kind::DoubleValue(value) => *value,
        _ => return false,
    };
    range.lt.is_none_or(|bound| value < bound)
        && range.lte.is_none_or(|bound| value <= bound)
        && range.gt.is_none_or(|bound| value > bound)
        && range.gte.is_none_or(|bound| value >= bound)
}
